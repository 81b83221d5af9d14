"""Text: its normal form, its letters and words, and its other readings."""
