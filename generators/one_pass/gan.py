"""Text-conditional generative adversarial networks: an `ImageGenerator`."""

from __future__ import annotations

from limner.generators.one_pass.generator import OnePassGenerator
from limner.generators.one_pass.networks import StyleGenerator


class GANGenerator(OnePassGenerator):
    """Paints with the generator of a text-conditional GAN (Goodfellow 2014, Reed 2016)."""

    family = "gan"
    build = StyleGenerator
