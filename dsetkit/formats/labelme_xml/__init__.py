"""The LabelMe web tool's XML, one file a picture."""
