"""Hugging Face ImageFolder with metadata: ``format`` is the class, beside it what it reads and writes with."""
