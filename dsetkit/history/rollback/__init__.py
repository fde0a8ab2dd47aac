"""Back to an earlier version, wholly or not at all.

``run`` is the transaction; ``plan`` says what has to change, ``stage`` that for one stage alone, ``change`` what that
means, ``check`` refuses to lose work, ``fetch`` gets and proves the data, ``steps`` makes all ready, ``journal``
writes down what is to happen, ``moves`` does it, ``locks`` and ``git`` are what they stand on.
"""
