"""Text-conditional generative adversarial networks: an `ImageGenerator`."""

from __future__ import annotations

from typing import cast

from limner.generators.one_pass.generator import OnePassGenerator
from limner.generators.one_pass.networks import StyleGenerator


class GANGenerator(OnePassGenerator):
    """Paints with the generator of a text-conditional GAN (Goodfellow 2014, Reed 2016)."""

    family = "gan"
    build = StyleGenerator

    @property
    def painter(self) -> StyleGenerator:
        """All of the network."""
        return cast("StyleGenerator", self._network)
