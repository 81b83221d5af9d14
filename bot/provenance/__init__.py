"""Provenance: signed manifests, the invisible mark, and reading both."""
