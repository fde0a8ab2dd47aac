"""The rules by which samples become a dataset: pure functions over rows and columns, without any I/O.

``mapping`` brings categories together, ``repair`` mends labels that are almost right, ``contract`` checks them against
the project's own Pydantic classes and ``infer`` writes such a class, ``quality`` and ``duplicates`` find pictures not
worth keeping twice or at all, ``splits`` shares samples out so that nothing leaks.
"""
