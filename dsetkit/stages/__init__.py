"""Stages and the engine they share: plan in columns, map over pictures, swap."""
