"""Scenes and recipe of the shipped model."""
