"""Generative adversarial networks that paint what words say: an `ImageGenerator`."""

from __future__ import annotations

from generators.networks import Painter
from generators.one_pass import OnePassGenerator


class GANGenerator(OnePassGenerator):
    """Paints with the generator of a text-conditional GAN (Goodfellow 2014, Reed 2016)."""

    family = "gan"
    build = Painter
