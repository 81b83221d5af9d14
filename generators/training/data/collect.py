"""Prepares a raw folder of pictures for training: checks, removes near-duplicates, crops, augments, splits."""

# pyright: basic

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import imagehash
import numpy as np
from PIL import Image, ImageOps

from limner.generators.image_files import OWN_FORMATS, BadImage, FileFault, open_image
from limner.generators.sentences import sentence, shown
from limner.generators.training.curves import lay_out
from limner.generators.training.data.augment import augment
from limner.generators.training.data.captions import (
    FORMS,
    CaptionEntry,
    CaptionFolder,
    read_folder,
    read_without_captions,
)
from limner.generators.training.data.idx import find_idx, read_idx
from limner.generators.training.errors import TrainingError

NEAR = 4
"""Pictures whose perceptual hashes differ by at most so many of 64 bits count as equal."""
CONTACTS = 40
TOO_LARGE, UNREADABLE = sentence("too many pixels"), sentence("not a readable picture")
DIGIT_NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
DIGIT_CAPTIONS = (
    "{digit}",
    "{name}",
    "the digit {digit}",
    "the digit {name}",
    "the number {digit}",
    "the number {name}",
    "a {name}",
    "a handwritten {digit}",
    "a handwritten {name}",
)


@dataclass(frozen=True)
class Raw:
    """A picture before its check: name, captions, and source (a file, or pixels of an IDX file).

    An unusable one has no source, and a problem.
    """

    name: str
    texts: tuple[str, ...]
    source: Path | np.ndarray | None
    problem: str = ""


@dataclass
class Report:
    """What was kept, and what was dropped and why (names by reason)."""

    kept: int = 0
    train: int = 0
    test: int = 0
    dropped: dict[str, list[str]] = field(default_factory=dict)

    def drop(self, reason: str, name: str) -> None:
        """Record a dropped picture."""
        self.dropped.setdefault(reason, []).append(name)

    def __str__(self) -> str:
        reasons = Counter({reason: len(names) for reason, names in self.dropped.items()})
        split = {"kept": self.kept, "train": self.train, "test": self.test}
        lines = [sentence("{kept} pictures: {train} to learn from, {test} to test with.", **split)]
        lines += [
            sentence("{count} left out: {reason} ({names}).", count=count, reason=reason, names=self._some(reason))
            for reason, count in reasons.most_common()
        ]
        return "\n".join(map(shown, lines))

    def _some(self, reason: str) -> str:
        names = self.dropped[reason]
        return ", ".join([*names[:3], *(["..."] if len(names) > 3 else [])])


class Broken(Exception):
    """An unusable picture; the text is the reason in the report."""


def collect(
    folder: Path,
    out: Path,
    *,
    side: int = 128,
    variants: int = 0,
    test: float = 0.1,
    seed: int = 0,
    captioned: bool = True,
) -> Report:
    """Make ``out`` an image folder with the parts ``train`` and ``test`` from the raw ``folder``.

    One picture is in memory at a time. ``variants`` augmented copies of each training picture are added. ``out`` also
    gets report.json and contacts.png. Of a picture with several captions each copy gets one of them. If not
    ``captioned``, all the folder's picture files are taken, without words.

    Raises:
        TrainingError: there is nothing to collect, fewer than two pictures are left, or ``out`` exists already.
    """
    raws = list(find(folder) if captioned else map(_raw, read_without_captions(folder)))
    if out.exists():
        raise TrainingError(sentence("{out} exists already; remove it or choose another folder with --out.", out=out))
    report = Report()
    writers = {part: FolderWriter(out / part) for part in ("train", "test")}
    order = Random(seed)
    hashes = np.zeros(len(raws), np.uint64)
    contacts: list[tuple[Image.Image, str]] = []
    for raw in raws:
        try:
            image = _usable(raw, side, hashes, report.kept)
        except Broken as reason:
            report.drop(str(reason), raw.name)
            continue
        report.kept += 1
        part = "test" if order.random() < test else "train"
        setattr(report, part, getattr(report, part) + 1)
        text = _drawn(raw.texts, order)
        writers[part].add(image, text)
        for _ in range(variants if part == "train" else 0):
            writers[part].add(*augment(image, _drawn(raw.texts, order), order))
        if len(contacts) < CONTACTS:
            contacts.append((image, text))
    for writer in writers.values():
        writer.close()
    if report.kept < 2:
        shutil.rmtree(out)
        raise _too_few(folder, report)
    (out / "report.json").write_text(json.dumps(asdict(report), indent=2), encoding="utf-8")
    lay_out([image for image, _ in contacts], 8, [text for _, text in contacts]).save(out / "contacts.png")
    return report


def _usable(raw: Raw, side: int, hashes: np.ndarray, kept: int) -> Image.Image:
    """The picture, cut to its side; raises Broken if it has no caption or is nearly one of the ``kept`` before."""
    if not raw.texts:
        raise Broken(sentence("without a caption"))
    image = cut_square(open_picture(raw), side)
    if (twin := _nearest(image, hashes, kept)) is not None:
        raise Broken(twin)
    return image


def _too_few(folder: Path, report: Report) -> TrainingError:
    reasons = "; ".join(f"{len(names)} left out: {reason}" for reason, names in report.dropped.items())
    return TrainingError(
        sentence(
            "{folder} has fewer than two usable pictures ({reasons}); add some.",
            folder=folder,
            reasons=reasons or sentence("there are no more"),
        )
    )


def find(folder: Path) -> Iterator[Raw]:
    """The captioned pictures of a folder: MNIST's IDX files, or those of `read_folder`.

    The name ``digits`` without such a folder means scikit-learn's digits.

    Raises:
        TrainingError: there are none, or a line of the metadata cannot be read.
    """
    if pairs := find_idx(folder):
        for images, labels in pairs:
            if problem := CaptionFolder(folder).why_not(images) or CaptionFolder(folder).why_not(labels):
                raise TrainingError(
                    sentence("{images} and its labels cannot be used: {problem}.", images=images, problem=problem)
                )
            for number, (pixels, label) in enumerate(read_idx(images, labels)):
                yield Raw(f"{images.name}:{number}", (f"the digit {label}",), pixels)
    elif folder.name == "digits" and not folder.exists():
        yield from read_digits()
    elif (entries := read_folder(folder)) is not None:
        yield from map(_raw, entries)
    else:
        raise TrainingError(sentence("{folder} has no captions: {forms}.", folder=folder, forms=FORMS))


def _raw(entry: CaptionEntry) -> Raw:
    return Raw(entry.name, entry.captions, entry.file, entry.problem)


def read_digits() -> Iterator[Raw]:
    """scikit-learn's 1,797 handwritten digits (Alpaydin and Kaynak 1998), each with one of several captions.

    Raises:
        TrainingError: scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits
    except ModuleNotFoundError as error:
        raise TrainingError(
            sentence("The digits come with scikit-learn; pip install limner[train] and try again.")
        ) from error
    digits: Any = load_digits()
    choice = Random(0)
    for number, (levels, label) in enumerate(zip(digits.images, digits.target, strict=True)):
        text = choice.choice(DIGIT_CAPTIONS).format(digit=label, name=DIGIT_NAMES[label])
        yield Raw(f"digits:{number}", (text,), (levels * (255 / 16)).astype(np.uint8))


def open_picture(raw: Raw) -> Image.Image:
    """The picture as `open_image` gives it; raises Broken if it is not there, too large, or damaged."""
    if isinstance(raw.source, np.ndarray):
        return Image.fromarray(raw.source).convert("RGB")
    if raw.source is None:
        raise Broken(raw.problem)
    try:
        return open_image(raw.source.read_bytes(), formats=OWN_FORMATS)
    except BadImage as error:
        raise Broken(TOO_LARGE if error.fault == FileFault.PIXELS else UNREADABLE) from error
    except OSError as error:
        raise Broken(UNREADABLE) from error


def _drawn(texts: Sequence[str], random: Random) -> str:
    """One of a picture's captions."""
    return random.choice(texts) if len(texts) > 1 else texts[0]


def cut_square(image: Image.Image, side: int) -> Image.Image:
    """The middle square, ``side`` wide."""
    return ImageOps.fit(image, (side, side), Image.Resampling.LANCZOS)


def _nearest(image: Image.Image, hashes: np.ndarray, count: int) -> str | None:
    """The reason to drop a picture that is there already; else None, and its hash is added to ``hashes``."""
    bits = imagehash.phash(image).hash.flatten()
    value = np.packbits(bits).view(np.uint64)[0]
    if count and int(np.bitwise_count(hashes[:count] ^ value).min()) <= NEAR:
        return "nearly the same as another"
    hashes[count] = value
    return None


class FolderWriter:
    """Writes one part of the folder, picture by picture."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self._folder, self._count = folder, 0
        self._lines = (folder / "metadata.jsonl").open("w", encoding="utf-8")

    def add(self, image: Image.Image, text: str, *, mark: str = "", **more: float) -> None:
        """Add a picture, with a mark in its name and more fields in its line."""
        name = f"{self._count:06d}{mark}.png"
        image.save(self._folder / name)
        self._lines.write(json.dumps({"file_name": name, "text": text, **more}, ensure_ascii=False) + "\n")
        self._count += 1

    def close(self) -> None:
        """Write the last lines."""
        self._lines.close()
