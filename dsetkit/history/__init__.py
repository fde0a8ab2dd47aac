"""Versions: what DVC and git remember. The only room that touches either."""
