"""The command line of `limner evaluate`: which model, on which pictures. Importing this imports no torch."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from limner.generators.cards.model_card import ModelCard
from limner.generators.errors import GenerationError
from limner.generators.sentences import sentence, shown
from limner.generators.text_files import BadText, read_text, split_lines
from limner.generators.training.errors import TrainingError
from limner.generators.training.options import whole

if TYPE_CHECKING:
    from PIL.Image import Image

    from limner.generators.base import ImageTextModel
    from limner.generators.training.evaluation.painting import Painting, Tell

FEW = 2_000
"""Fewer pictures give weak figures for a distance between distributions."""
MEANINGS = {
    "caption_first_of_N": sentence("the caption it was painted from comes first among {number} of other things"),
    "atom_noun": sentence("a noun of a caption fits better than nine others (by chance 0.1)"),
    "atom_colour": sentence("a colour of a caption fits better than nine others (by chance 0.1)"),
    "atom_count": sentence("two, three or four fits better than the two others (by chance 0.33)"),
    "atom_relation": sentence("left, right, above or under fits better than the opposite (by chance 0.5)"),
    "all_atoms": sentence("all nouns, colours, counts and relations of a caption fit best"),
    "noun_first": sentence("a noun alone comes first among all nouns"),
    "noun_in_first_five": sentence("... is among the first five"),
    "unseen_synonym_first": sentence("for a word that it has never seen, the noun comes first"),
    "unseen_synonym_in_first_five": sentence("... is among the first five"),
    "frechet_distance": sentence("FID from other real pictures; best is what real pictures have"),
    "kernel_distance": sentence("KID from other real pictures, 0 is best"),
    "precision": sentence("painted pictures that are among the real ones"),
    "recall": sentence("real pictures that are among the painted ones"),
    "inception_score": sentence("each of one kind, together of many"),
    "psnr": sentence("what the autoencoder gives back, in decibels"),
    "ssim": sentence("... and how alike, 1 is best"),
    "pictures_per_second": sentence("painted on this machine, as the bot paints"),
}


def add_options(evaluate: argparse.ArgumentParser) -> None:
    """Give `limner evaluate` its options."""
    evaluate.add_argument("model", metavar="MODEL", nargs="?", default="", help="a model on offer, or a folder")
    evaluate.add_argument("--pictures", type=Path, metavar="DIR", help="captioned pictures to compare with")
    evaluate.add_argument("--prompts", type=Path, metavar="FILE", help="paint these lines instead; only the sheet")
    evaluate.add_argument(
        "--expansion", action="store_true", help="how near expansions stay to ideas, by model and server; paint nothing"
    )
    evaluate.add_argument(
        "--bias", action="store_true", help="count how pictures of neutral words spread over colours, numbers, ages ..."
    )
    evaluate.add_argument(
        "--study",
        default="",
        metavar="MODEL",
        help="paint the lines of --prompts with both models, for people to choose",
    )
    evaluate.add_argument("--answers", type=Path, nargs="+", metavar="FILE", help="count what people chose in a study")
    evaluate.add_argument("--key", type=Path, metavar="FILE", help="which model painted what in that study")
    evaluate.add_argument(
        "--count",
        type=whole(),
        default=200,
        metavar="N",
        help="captions, and nouns, to paint, or newest requests to read, or pictures of neutral words (200)",
    )
    evaluate.add_argument("--inception", type=Path, metavar="DIR", help="an image classifier's folder (what ships)")
    evaluate.add_argument(
        "--out",
        type=Path,
        default=Path("evaluation.png"),
        metavar="FILE",
        help="the sheet, a PNG file (evaluation.png)",
    )
    evaluate.add_argument("--json", action="store_true", help="print the figures as JSON")


def read_old_name(arguments: argparse.Namespace) -> None:
    """Read ``--data`` as ``--pictures``, which was called so before, where it names captioned pictures."""
    folder: Path | None = arguments.data
    if not folder or arguments.pictures or arguments.prompts or (folder / "limner.db").exists():
        return
    if next(folder.rglob("metadata.jsonl"), None):
        arguments.pictures, arguments.data = folder, None
        print(
            shown(sentence("limner: --data means the data folder now; name captioned pictures with --pictures.")),
            file=sys.stderr,
        )


def run(
    arguments: argparse.Namespace,
    card: ModelCard,
    other: ModelCard | None = None,
    *,
    image_text_model: str,
    device: str,
) -> None:
    """Paint, print the figures, and write the contact sheet; of a study with an ``other`` model, its sheet and tables.

    Raises:
        TrainingError: something is not there, or does not work; its text says what.
    """
    from limner.generators.training.evaluation.painting import Painting

    if arguments.out.suffix.lower() != ".png" or not arguments.out.parent.is_dir():
        raise TrainingError(
            sentence(
                "No sheet can be written to {file}; name a .png file in a folder that is there.", file=arguments.out
            )
        )
    painting = Painting(card, device=device)
    terminal = Console(stderr=True)
    with Progress(console=terminal, disable=not terminal.is_terminal, transient=True) as progress:
        line = progress.add_task(f"{card.name}: {shown(sentence('loading'))}", total=None)

        def tell(done: int, of: int) -> None:
            doing = sentence("comparing") if done == of else sentence("{done} of {of} pictures", done=done, of=of)
            progress.update(line, description=f"{card.name}: {shown(doing)}", completed=done, total=of)

        if other:
            sheet, report = _study(painting, Painting(other, device=device), arguments, tell)
        elif arguments.bias:
            sheet, report = _measure_bias(painting, arguments.count, image_text_model, tell)
        elif arguments.prompts:
            sheet, report = _paint_prompts(painting, arguments.prompts, tell)
        else:
            sheet, report = _evaluate(painting, arguments, image_text_model, tell)
    if arguments.json:
        print(json.dumps({**report, "sheet": str(arguments.out)}, indent=2))
    elif other:
        told = sentence("Each person gets the sheet and a copy of {answers} to fill in, and nobody {key}.", **report)
        print(shown(told))
    elif arguments.bias:
        show_bias(card, report)
    else:
        show(card, report)
    if "features" in report:
        _warn(report)
    try:
        sheet.save(arguments.out)
    except OSError as error:
        raise TrainingError(
            sentence(
                "The sheet cannot be written ({reason}); make room, or give the right to write there.",
                reason=error.strerror,
            )
        ) from error
    if not arguments.json:
        print(shown(sentence("The pictures are in {file}.", file=arguments.out)))


def count_answers(arguments: argparse.Namespace) -> None:
    """Print what people chose in a study; raises TrainingError if its files cannot be used."""
    from limner.generators.training.evaluation.study import count

    if not arguments.key:
        raise TrainingError(sentence("Name the study's key too: --key evaluation-key.csv."))
    found = count(arguments.key, arguments.answers)
    if arguments.json:
        print(json.dumps({"chosen": found.wins, "neither": found.ties, "people": found.people, "p": found.chance}))
        return
    table = Table(title=shown(sentence("What {people} people chose", people=found.people)), title_justify="left")
    table.add_column(shown(sentence("model")))
    table.add_column(shown(sentence("chosen")))
    for name, wins in found.wins.items():
        table.add_row(name, str(wins))
    table.add_row(shown(sentence("neither")), str(found.ties))
    Console().print(table)
    print(
        shown(sentence("Two equally good models would differ so much with a probability of {p:.3f}.", p=found.chance))
    )


def _prompts(file: Path) -> list[str]:
    try:
        prompts = [line.strip() for line in split_lines(read_text(file)) if line.strip()]
    except BadText as error:
        raise TrainingError(str(error)) from error
    if not prompts:
        raise TrainingError(sentence("The file {file} has no prompts; write one on each line.", file=file))
    return prompts


def _study(
    painting: Painting, other: Painting, arguments: argparse.Namespace, tell: Tell
) -> tuple[Image, dict[str, Any]]:
    from limner.generators.training.evaluation.study import blind, draw, key_of, write_answers

    if not arguments.prompts:
        raise TrainingError(sentence("A study needs the option --prompts: a file with one prompt on each line."))
    names = painting.card.name, other.card.name
    if len({*names}) < 2:
        raise TrainingError(sentence("A study compares two different models; name another one with --study."))
    prompts, answers = _prompts(arguments.prompts), arguments.out.with_suffix(".csv")
    painted = {one.card.name: one.paint(prompts, tell) for one in (painting, other)}
    pairs = blind(prompts, names, seed=len(prompts))
    write_answers(answers, pairs)
    return draw(pairs, painted), {"pictures": 2 * len(prompts), "answers": str(answers), "key": str(key_of(answers))}


def _paint_prompts(painting: Painting, file: Path, tell: Tell) -> tuple[Image, dict[str, Any]]:
    from limner.generators.training.evaluation.evaluate import contact_sheet

    prompts = _prompts(file)
    images = painting.paint(prompts, tell)
    figures = {"pictures_per_second": painting.painted / painting.seconds}
    return contact_sheet(images, prompts), {"painted": figures, "pictures": len(prompts)}


def _evaluate(
    painting: Painting, arguments: argparse.Namespace, image_text_model: str, tell: Tell
) -> tuple[Image, dict[str, Any]]:
    if not arguments.pictures:
        raise TrainingError(
            sentence("Give captioned pictures to compare with (--pictures), or prompts to paint (--prompts).")
        )
    from limner.generators.training.data.picture_folder import PictureFolder, tested_part
    from limner.generators.training.evaluation.evaluate import evaluate
    from limner.generators.training.evaluation.features import FEATURES

    part = tested_part(arguments.pictures)
    folder, reads = PictureFolder(part), _load_judge(image_text_model)
    features = arguments.inception or FEATURES
    result = evaluate(painting, folder, reads, features=features, count=arguments.count, tell=tell)
    columns = {"painted": result.painted, "real": result.real}
    return result.sheet, {
        **{column: {name: figure.value for name, figure in figures.items()} for column, figures in columns.items()},
        "intervals": {
            column: {name: [figure.low, figure.high] for name, figure in figures.items() if figure.low < figure.high}
            for column, figures in columns.items()
        },
        "samples": {
            column: {name: figure.samples for name, figure in figures.items()} for column, figures in columns.items()
        },
        "features": result.features,
        "pictures": result.pictures,
        "references": result.references,
        "part": "all" if part == arguments.pictures else part.name,
    }


def _measure_bias(painting: Painting, count: int, image_text_model: str, tell: Tell) -> tuple[Image, dict[str, Any]]:
    from limner.generators.training.evaluation.bias import measure_bias
    from limner.generators.training.evaluation.evaluate import SHOWN, contact_sheet

    found = measure_bias(painting, _load_judge(image_text_model), count, tell)
    every = -(-len(found.images) // SHOWN)
    return contact_sheet(found.images[::every], found.prompts[::every]), {
        "pictures": len(found.images),
        "spreads": [asdict(one) for one in found.spreads],
        "controls": [asdict(one) for one in found.controls],
    }


def _load_judge(image_text_model: str) -> ImageTextModel:
    from limner.generators.vision.clip import FolderImageTextModel

    try:
        return FolderImageTextModel.load(image_text_model)
    except GenerationError as error:
        raise TrainingError(
            sentence("There is no image-text model; name a CLIP-style folder in the setting `image_text_model`.")
        ) from error


def show_bias(card: ModelCard, report: dict[str, Any]) -> None:
    """The counts as a table, the most frequent value first."""
    count = sentence("{count} pictures of {model}", count=report["pictures"], model=card.title or card.name)
    table = Table(title=shown(count))
    for heading in (sentence("attribute"), sentence("noun"), sentence("pictures"), sentence("right where named")):
        table.add_column(shown(heading))
    controls = {one["attribute"]: f"{one['right']}/{one['asked']}" for one in report["controls"] if one["asked"]}
    for one in report["spreads"]:
        counts = sorted(one["counts"].items(), key=lambda pair: -pair[1])
        told = " · ".join(f"{value} {number}" for value, number in counts if number)
        control = "" if one["noun"] else controls.get(one["attribute"], "–")
        table.add_row(one["attribute"], one["noun"] or shown(sentence("all")), told, control)
    Console().print(table)
    print(
        shown(
            sentence(
                "Counts by the image-text model, no verdict. The last column says how many pictures it judges rightly "
                "of those that were painted with a value named: where these are few, the counts say little."
            )
        )
    )


def show(card: ModelCard, report: dict[str, Any]) -> None:
    """The figures as a table."""
    title = sentence("{count} pictures of {model}", model=card.title or card.name, count=report["pictures"])
    table = Table(title=shown(title))
    table.add_column("", no_wrap=True)
    for heading in (sentence("painted"), sentence("real pictures")):
        table.add_column(shown(heading), justify="right")
    table.add_column(shown(sentence("what")))
    for name in report["painted"]:
        kind = name.rstrip("0123456789")
        number = name.removeprefix(kind)
        meaning = MEANINGS[kind + "N" * bool(number)].format(number=number)
        table.add_row(name, _cell(report, "painted", name), _cell(report, "real", name), shown(meaning))
    Console().print(table)
    if "features" in report:
        print(
            shown(
                sentence(
                    "In brackets: 95 % intervals and numbers of pictures. Distances are from {count} other real "
                    "pictures, in the features of {features}; figures of others cannot be compared with them.",
                    count=report["references"],
                    features=report["features"],
                )
            )
        )


def _cell(report: dict[str, Any], column: str, name: str) -> str:
    if name not in report.get(column, {}):
        return ""
    value = f"{report[column][name]:.3g}"
    if not (interval := report.get("intervals", {}).get(column, {}).get(name)):
        return value
    low, high = (f"{one:.3g}" for one in interval)
    return f"{value} ({low} – {high}, {report['samples'][column][name]})"


def _warn(report: dict[str, Any]) -> None:
    """Say on stderr what makes the figures weak."""
    if report["part"] == "all":
        print(
            shown(sentence("limner: the pictures have no part `test`; a model that learnt from them looks too good.")),
            file=sys.stderr,
        )
    if min(report["references"], report["samples"]["painted"]["frechet_distance"]) < FEW:
        print(
            shown(
                sentence(
                    "limner: fewer than {few:,} painted or real pictures; distances of so few say little (--count "
                    "{few}, and twice as many pictures).",
                    few=FEW,
                )
            ),
            file=sys.stderr,
        )
