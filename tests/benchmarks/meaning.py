"""Where unknown words land: synonyms that no caption holds, read by the language models that captions are read by."""

from __future__ import annotations

import time

import torch

from limner.bot.settings.model_sources import PRETRAINED
from limner.generators.language.caption_encoder import BUNDLED, load_caption_encoder, pool
from limner.generators.training.doodle.pictograms import read_nouns, with_article
from tests.benchmarks.figures import cores, show


def main() -> None:
    """Print the table."""
    cores()
    rows = [_measure(name) for name in (BUNDLED, str(PRETRAINED / "doodle"))]
    show(
        "Synonyms among the nouns",
        ("encoder", "nearest is the noun", "noun among the nearest five", "captions per second"),
        rows,
        "Words of the table of nouns that stand in no caption; nearness is the cosine of the mean hidden states, less "
        "what all nouns have in common. By chance: 0.003.",
    )


def _measure(encoder_name: str) -> tuple[str, str, str, str]:
    encoder = load_caption_encoder(encoder_name)
    nouns = read_nouns()
    names = [with_article(noun.name, noun.name) for noun in nouns]
    unseen = [(with_article(word, word), number) for number, noun in enumerate(nouns) for word in noun.unseen]
    started = time.perf_counter()
    known, asked = (pool(encoder.read(texts)) for texts in (names, [word for word, _ in unseen]))
    seconds = time.perf_counter() - started
    centre = known.mean(0)
    known, asked = (torch.nn.functional.normalize(vectors - centre) for vectors in (known, asked))
    ranks = (asked @ known.T).argsort(1, descending=True)
    right = ranks == torch.tensor([number for _, number in unseen])[:, None]
    first, five = (float(right[:, :count].any(1).float().mean()) for count in (1, 5))
    rate = (len(names) + len(unseen)) / seconds
    return encoder_name.rsplit("/", 1)[-1], f"{first:.2f}", f"{five:.2f}", f"{rate:.0f}"


if __name__ == "__main__":
    main()
