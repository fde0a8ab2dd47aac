"""Frozen documents, no I/O: what a sample, an annotation, a snapshot, the params and the locks are."""
