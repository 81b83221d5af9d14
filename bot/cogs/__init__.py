"""The commands: one group a file; no SQL and no torch."""
