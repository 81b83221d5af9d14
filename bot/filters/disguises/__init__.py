"""Words in disguise: what is seen through, and how."""
