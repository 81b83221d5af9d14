"""Analyses and changes finished pictures: safety classifiers, image-text model, postprocessing."""
