"""Training data: picture folders, captions, latents and text encoders."""
