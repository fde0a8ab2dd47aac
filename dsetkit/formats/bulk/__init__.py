"""Boxes and outlines of many samples at once, in columns; see ``batch``."""
