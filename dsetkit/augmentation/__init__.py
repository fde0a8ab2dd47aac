"""Variants of a picture whose labels stay true: recipes are drawn, applied to pixels and labels alike, and replayed.

``draw`` turns params into steps with their values, ``steps`` turns steps into maps (consecutive moves into one), and
``apply`` puts the very same maps to the pixels and to the annotations.
"""
