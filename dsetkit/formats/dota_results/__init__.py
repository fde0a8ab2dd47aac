"""DOTA results: ``format`` is the class, beside it what it reads with."""
