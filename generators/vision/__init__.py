"""Pictures read back: NSFW classifiers, image-text model and post-processing."""
