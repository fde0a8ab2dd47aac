"""LabelMe: one JSON file a picture."""
