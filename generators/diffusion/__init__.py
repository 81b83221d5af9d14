"""Any diffusers pipeline, step by step."""
