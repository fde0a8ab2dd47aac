"""Labelbox: exports of labels and files of labels to import, a line or an element a data row or annotation."""
