"""Label formats: one module a format, read and write, and a registry open to entry points (``dsetkit.formats``)."""
