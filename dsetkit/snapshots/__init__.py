"""One snapshot: cut, write, open, read, verify. The only room with Parquet."""
