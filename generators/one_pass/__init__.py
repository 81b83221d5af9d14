"""Generators that paint in one pass: VAE, GAN and CycleGAN."""
