"""Conditional variational autoencoders: an `ImageGenerator`."""

from __future__ import annotations

from limner.generators.one_pass.generator import OnePassGenerator
from limner.generators.one_pass.networks import ConditionalVAE


class VAEGenerator(OnePassGenerator):
    """Paints with the decoder of a conditional variational autoencoder (Kingma and Welling 2013, Sohn 2015)."""

    family = "vae"
    build = ConditionalVAE
