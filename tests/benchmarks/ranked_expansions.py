"""What choosing among expansions brings: doodle, captions of what it has never seen, kept back in turn."""

# pyright: basic

from __future__ import annotations

import sys
import tempfile
from itertools import islice
from pathlib import Path

from limner.bot.settings import Settings
from limner.bot.worker.process import load_expander
from limner.generators.cards.model_card import ModelCard
from limner.generators.embedders import UniversalSentenceEncoder
from limner.generators.language.ranked_expander import CANDIDATES
from limner.generators.training.data import downloads
from limner.generators.training.doodle.pictograms import Pictograms, read_nouns
from limner.generators.training.evaluation.measures import Figure
from limner.generators.training.evaluation.painting import Painting
from limner.generators.training.families.expansions import PAINTED, LearntRanker, learn, paint_expansions
from limner.generators.training.kinds import PRETRAINED
from limner.generators.vision.clip import FolderImageTextModel
from limner.generators.vision.read_back import atoms_in
from tests.benchmarks.figures import show
from tests.benchmarks.held_out import DOWNLOADS, read_seen, unseen_scenes

IDEAS = 40
DOODLE = str(PRETRAINED / "doodle")


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as folder:
        print_table(measure(Path(folder)))


def measure(folder: Path) -> LearntRanker:
    """Paint, read and learn; what ``folder`` has already is not painted again."""
    painting = Painting(ModelCard.read("doodle", DOODLE), device="cpu")
    model = FolderImageTextModel.load(str(PRETRAINED / "image-text"))
    found = paint_expansions(ideas(), load_expander(Settings(), None), painting, model, folder, _tell)
    painting.close()
    return learn(found, UniversalSentenceEncoder.create())


def ideas() -> list[str]:
    """Captions with several words that can be judged."""
    pictograms = Pictograms(downloads.fetch(downloads.PICTOGRAMS, DOWNLOADS), read_nouns())
    captions = (one.scene.caption for one in unseen_scenes(pictograms, read_seen()))
    return list(islice((caption for caption in captions if len(atoms_in(caption)) > 1), IDEAS))


def print_table(learnt: LearntRanker) -> None:
    """The figures of ideas that were kept back."""
    rows = [
        (what, *(_cell(figures[name]) for name in ("first", "chosen", "best", "gain")))
        for what, figures in (("words seen", learnt.agreement), ("nearness", learnt.nearness))
    ]
    show(
        f"doodle: {learnt.agreement['gain'].samples} ideas with up to {CANDIDATES} expansions each",
        ("", "the first expansion", "the chosen one", "the best one", "the choice gains"),
        rows,
        f"Right about {_cell(learnt.right)} of {learnt.right.samples} pairs; {PAINTED} pictures of each expansion from "
        "the same seeds; in brackets 95 % intervals.",
    )


def _cell(figure: Figure) -> str:
    return f"{figure.value:.3f} ({figure.low:.3f} to {figure.high:.3f})"


def _tell(done: int, of: int) -> None:
    print(f"\r{done} of {of}", end="", file=sys.stderr)


if __name__ == "__main__":
    main()
