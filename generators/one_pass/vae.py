"""Conditional variational autoencoders: an `ImageGenerator`."""

from __future__ import annotations

from typing import cast

from limner.generators.one_pass.generator import OnePassGenerator
from limner.generators.one_pass.networks import ConditionalVAE, StyleGenerator


class VAEGenerator(OnePassGenerator):
    """Paints with the decoder of a conditional variational autoencoder (Kingma and Welling 2013, Sohn 2015)."""

    family = "vae"
    build = ConditionalVAE

    @property
    def painter(self) -> StyleGenerator:
        """Its decoder."""
        return cast("ConditionalVAE", self._network).painter
