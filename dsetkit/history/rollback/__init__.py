"""Back to an earlier version, wholly or not at all.

``run`` is the transaction; ``plan`` says what has to change, ``stage`` that for one stage alone, ``check`` refuses to
lose work, ``fetch`` gets and proves the data, ``journal`` renames, ``locks`` and ``git`` are what they stand on.
"""
