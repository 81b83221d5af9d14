"""Our matcher behind the interface of filterbench's harness: rules in its JSON, a prompt in, block or allow out."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from limner.bot.filters.lines import read_entries
from limner.bot.filters.matcher import Matcher
from limner.bot.filters.regex.regexes import complaint
from limner.bot.place import Place


class Filter:
    """The harness makes one of these for a set of rules."""

    def __init__(self, rules: dict[str, Any]) -> None:
        self._matcher = Matcher(*read_entries("rules", rules))

    def check(self, text: str, context: dict[str, Any]) -> dict[str, str]:
        """Block or allow, and the rule."""
        channels = filter(None, [context.get("channel")])
        match = self._matcher.find(text, Place(frozenset(channels), frozenset(context.get("roles", ()))))
        return {"action": "block", "rule": match.rule.id} if match else {"action": "allow"}

    validate_regex = staticmethod(complaint)
