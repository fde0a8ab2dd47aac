"""Bytes at a URL: atomic writes, tar shards, ranged reads, source scans. The only room with fsspec."""
