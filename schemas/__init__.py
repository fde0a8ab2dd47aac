"""The contracts of this dataset: what a label must be here.

Each module is a starter to copy and tighten. ``params.yaml`` names the one that holds:
``schema: schemas.detection:Label``.
"""
