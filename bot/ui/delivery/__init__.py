"""Delivery: placeholders become results, by edits that are repeated until they arrive."""
