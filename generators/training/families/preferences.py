"""Learns from which of two pictures people preferred; refuses what is too little to learn from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from limner.generators.base import ImageTextModel
from limner.generators.sentences import sentence
from limner.generators.text_files import BadText, parse_json, read_text, split_lines
from limner.generators.training.data.picture_folder import open_picture
from limner.generators.training.errors import TrainingError
from limner.generators.training.evaluation.measures import Figure, share
from limner.generators.vision.preferences import Reward, described

FEWEST_MEMBERS, FEWEST_PAIRS = 5, 50
"""With fewer the reward would know what one or two people like, and nothing could be said about others."""
PARTS = 10
"""Most parts in which members are kept back, one after the other."""


@dataclass(frozen=True)
class ChosenPair:
    """A member's choice between two pictures of the same words; members are numbers."""

    member: int
    words: str
    better: Path
    worse: Path


@dataclass(frozen=True)
class ChosenPairs:
    """The choices of a file, and how many were left out because a picture of theirs is not there."""

    pairs: Sequence[ChosenPair]
    left_out: int


@dataclass(frozen=True)
class Learnt:
    """A reward, and how often it, and nearness to the words alone, is right about members whom it did not learn from.

    ``reward`` has learnt from all.
    """

    reward: Reward
    held_out: Figure
    nearness: Figure


def read_preferences(file: Path) -> ChosenPairs:
    """The lines of `limner ratings --pairs`.

    Raises:
        TrainingError: it is no such file, or holds too few choices or choices of too few members.
    """
    try:
        lines = [line for line in split_lines(read_text(file)) if line.strip()]
    except BadText as error:
        raise TrainingError(str(error)) from error
    found = [_read(file, number, line) for number, line in enumerate(lines, 1)]
    pairs = [one for one in found if one.better.is_file() and one.worse.is_file()]
    members = len({one.member for one in pairs})
    if members < FEWEST_MEMBERS or len(pairs) < FEWEST_PAIRS:
        raise TrainingError(
            sentence(
                "{pairs} choices of {members} members are too few to learn what people like; it takes {fewest_pairs} "
                "of {fewest_members}, so ask more people (the setting compared_share).",
                pairs=len(pairs),
                members=members,
                fewest_pairs=FEWEST_PAIRS,
                fewest_members=FEWEST_MEMBERS,
            )
        )
    return ChosenPairs(pairs, len(found) - len(pairs))


def learn(pairs: Sequence[ChosenPair], model: ImageTextModel) -> Learnt:
    """Fit a reward, and measure it on members who are kept back in turn; the same pairs give the same one."""
    found = [described(model, [open_picture(one.better), open_picture(one.worse)], one.words) for one in pairs]
    better, worse = np.stack([rows[0] for rows in found]), np.stack([rows[1] for rows in found])
    members = np.array([one.member for one in pairs])
    parts = np.unique(members, return_inverse=True)[1] % PARTS
    hits: list[bool] = []
    for part in np.unique(parts):
        own = parts == part
        reward = Reward.fit(better[~own], worse[~own])
        hits += (reward.of(better[own]) > reward.of(worse[own])).tolist()
    nearer = better[:, -1] > worse[:, -1]
    return Learnt(Reward.fit(better, worse), share(hits), share(nearer.tolist()))


def _read(file: Path, number: int, line: str) -> ChosenPair:
    try:
        values: Mapping[str, Any] = parse_json(line, file.name)
        return ChosenPair(
            int(values["member"]), str(values["idea"]), *(file.parent / values[name] for name in ("better", "worse"))
        )
    except (BadText, KeyError, TypeError, ValueError) as error:
        raise TrainingError(
            sentence(
                "Line {number} of {file} is no choice of a picture; the file is made with limner ratings --pairs.",
                number=number,
                file=file.name,
            )
        ) from error
