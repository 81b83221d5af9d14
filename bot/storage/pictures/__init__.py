"""Picture files: stored, opened, copied and recognised."""
