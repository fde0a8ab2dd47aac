"""Parquet as the Hugging Face Hub has it: ``format`` is the class, beside it what it reads with."""
