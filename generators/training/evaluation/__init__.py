"""Measures of models, and `limner evaluate`."""
