"""Bounds of a model and of its derivatives over boxes: interval arithmetic through its program."""
