"""The training task of each family of models."""
