"""The `/filter` commands."""
