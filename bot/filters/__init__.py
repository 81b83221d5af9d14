"""Content rules: matching, places, storage."""
