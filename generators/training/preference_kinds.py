"""What the kinds of `limner train` that learn from choices do; importing this imports no torch."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from limner.generators.sentences import sentence, shown
from limner.generators.training.errors import TrainingError
from limner.generators.training.kinds import tell, tell_left_out

READ = sentence(
    "Words seen in pictures of ideas kept back: {first} with the first expansion, {chosen} with the chosen one, {best} "
    "with the best; the choice gains {gain}."
)
NEAR = sentence(
    "Nearness of pictures to ideas kept back: {first} with the first expansion, {chosen} with the chosen one, {best} "
    "with the best; the choice gains {gain}."
)

if TYPE_CHECKING:
    from limner.generators.training.evaluation.measures import Figure
    from limner.generators.vision.clip import FolderImageTextModel


def preferences(arguments: argparse.Namespace) -> None:
    """Learn what people like, and say how well it is known of people who are kept back."""
    from limner.generators.training.families.preferences import learn, read_preferences

    found = read_preferences(arguments.pairs)
    tell_left_out(found.left_out)
    learnt = learn(found.pairs, _image_text_model(arguments))
    for what, figure in (
        (sentence("choices of members who were kept back that it is right about"), learnt.held_out),
        (sentence("choices that nearness to the words alone is right about"), learnt.nearness),
    ):
        print(f"{_written(figure, 2)} {shown(what)}")
    if learnt.held_out.low <= 0.5:
        print(shown(sentence("That may be chance: do not choose by it, and collect more choices.")))
    folder = arguments.out or arguments.training / "preferences"
    learnt.reward.save(folder)
    tell(folder)


def expansions(arguments: argparse.Namespace) -> None:
    """Learn which expansions have pictures that show the idea, and say what that brings ideas that are kept back."""
    from limner.generators.embedders import UniversalSentenceEncoder
    from limner.generators.training.evaluation.painting import Painting
    from limner.generators.training.families.expansions import learn, paint_expansions, read_ideas

    ideas, model = read_ideas(arguments.ideas), _image_text_model(arguments)
    folder = arguments.out or arguments.training / "expansions"
    painting = Painting(arguments.card_of(arguments.model))
    found = paint_expansions(ideas, arguments.open_expander(), painting, model, folder, _count)
    painting.close()
    learnt = learn(found, UniversalSentenceEncoder.create())
    what = sentence("pairs of expansions of ideas kept back that it is right about")
    print(f"{_written(learnt.right)} {shown(what)}")
    for figures, told in ((learnt.agreement, READ), (learnt.nearness, NEAR)):
        print(shown(sentence(told, **{name: _written(figure) for name, figure in figures.items()})))
    if learnt.agreement["gain"].low <= 0 and learnt.nearness["gain"].low <= 0:
        print(shown(sentence("That may be chance: do not choose by it, or learn from more ideas.")))
    learnt.ranker.save(folder)
    tell(folder)


def _image_text_model(arguments: argparse.Namespace) -> FolderImageTextModel:
    from limner.generators.errors import ModelNotFound
    from limner.generators.vision.clip import FolderImageTextModel

    try:
        return FolderImageTextModel.load(arguments.image_text_source)
    except ModelNotFound as error:
        raise TrainingError(
            sentence("There is no image-text model to see with; name one in the setting image_text_model.")
        ) from error


def _written(figure: Figure, digits: int = 3) -> str:
    value, low, high = (f"{number:.{digits}f}" for number in figure[:3])
    return f"{value} ({low} - {high}, {figure.samples})"


def _count(done: int, of: int) -> None:
    print(f"\r{done}/{of}", end="\n" if done == of else "", flush=True)
