"""CVAT XML 1.1: ``format`` is the class, beside it what it reads and writes with."""
