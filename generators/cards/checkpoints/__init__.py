"""Checkpoints: a whole model in one safetensors file, as model sites offer it."""
