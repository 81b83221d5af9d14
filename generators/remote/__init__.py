"""Pictures from images servers."""
