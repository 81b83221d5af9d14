"""The verbs of `limner`."""
