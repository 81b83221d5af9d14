"""Variational autoencoders that paint what words say: an `ImageGenerator`."""

from __future__ import annotations

from generators.networks import ConditionalVAE
from generators.one_pass import OnePassGenerator


class VAEGenerator(OnePassGenerator):
    """Paints with the second half of a conditional variational autoencoder (Kingma and Welling 2013, Sohn 2015)."""

    family = "vae"
    build = ConditionalVAE
