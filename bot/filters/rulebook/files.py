"""Rule files in JSON, as exported: every entry, or why it is not valid."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, chain
from typing import Any, Protocol, cast

from limner.bot.errors import BadRule
from limner.bot.filters.rulebook.entries import PACK, Entry, read_entry, read_pack, read_use
from limner.bot.filters.rules import Rule
from limner.bot.filters.scopes import ANYWHERE, SETS, Scope
from limner.bot.translation import N_, _
from limner.generators.text_files import BadText, parse_json, split_lines

VERSION = 1
SHARED = ("action", "reason", "replacement", "expires_at", "strict")
"""Fields that a pack's rules inherit."""
_ID = re.compile(r"[0-9]{1,20}")
NO_IDS = N_("Its channels and roles must be Discord's numbers, not names; copy their ids.")
NO_LIST = N_('It has no list of rules; write {"rules": [...]}.')


class Read(Protocol):
    """Makes an entry of what stands in one place of a file, as `read_entry` does."""

    def __call__(self, whole: Any, *, is_allow: bool = False) -> Entry:
        """The entry, checked; raises BadRule."""
        ...


@dataclass(frozen=True)
class Item:
    """One place of a rule file: an entry, or the sentence that says why it is not valid."""

    #: Its label in the file: id or number.
    label: str
    entry: Entry | None
    problem: str = ""
    #: Its pack's scope; both must hold.
    outer: Scope = ANYWHERE
    #: Warnings about it, or about its file if there is no entry.
    note: str = ""

    @property
    def complaint(self) -> str:
        """The sentence for the moderator before it is saved; "" if there is nothing to say."""
        return (
            _("{rule}: {problem}", rule=self.label, problem=self.problem or self.note)
            if self.problem or self.note
            else ""
        )

    def merged(self) -> Item:
        """The item with both scopes merged into one, as a row has it."""
        if self.entry is None:
            return self
        try:
            scope = self.entry.scope.within(self.outer)
        except BadRule as error:
            return replace(self, entry=None, problem=str(error))
        is_discords = all(map(_ID.fullmatch, chain.from_iterable(getattr(scope, name) for name in SETS)))
        entry = replace(self.entry, scope=scope) if is_discords else None
        return replace(self, entry=entry, outer=ANYWHERE, problem="" if is_discords else _(NO_IDS))

    def rules(self) -> list[Rule]:
        """What it means to a matcher; nothing if it is off."""
        return self.entry.rules(self.label, outer=(self.outer,)) if self.entry and self.entry.is_on else []


def read_json(text: str, read: Read = read_entry) -> Iterator[Item]:
    """A JSON file, or one JSON entry a line; see `read_whole`. Raises BadRule if it is no such file."""
    text = text.removeprefix("\ufeff")
    lines = [(number, line) for number, line in enumerate(split_lines(text), 1) if line.strip()]
    whole = [_parsed(line, number) for number, line in lines] if _is_entries(lines) else _parsed(text)
    is_entry = not isinstance(whole, list) and not (isinstance(whole, dict) and "pattern" not in whole)
    return read_whole([whole] if is_entry else cast(Any, whole), read)


def _is_entries(lines: Sequence[tuple[int, str]]) -> bool:
    """Whether each line is JSON of its own, as the first of several is."""
    try:
        return len(lines) > 1 and _parsed(lines[0][1]) is not None
    except BadRule:
        return False


def _parsed(text: str, line: int | None = None) -> Any:
    """The parsed JSON; halves of surrogate pairs stay, because their entry is reported."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        try:
            return parse_json(text, _("It"), line)
        except BadText as error:
            raise BadRule(str(error)) from error


def read_whole(whole: Any, read: Read = read_entry) -> Iterator[Item]:
    """A list of entries, or ``{"rules": [...], "allow": [...], "packs": [...]}``; raises BadRule if it is neither.

    A pack has ``rules`` of its own, or is one of ours by its ``id``.
    """
    if isinstance(whole, list):
        return _rules(cast("list[Any]", whole), 0, read)
    known = cast("dict[str, Any]", whole)
    rules, allow, packs = (known.get(name, []) for name in ("rules", "allow", "packs"))
    if not all(isinstance(some, list) for some in (rules, allow, packs)) or not known.keys() & {
        "rules",
        "packs",
        "allow",
    }:
        raise BadRule(_(NO_LIST))
    if not all(map(_is_pack, packs)):
        raise BadRule(_(NO_LIST))
    before = list(accumulate((len(pack.get("rules", [0])) for pack in packs), initial=len(rules)))
    return chain(
        _rules(rules, 0, read),
        chain.from_iterable(_pack(pack, number, read) for pack, number in zip(packs, before, strict=False)),
        (item_of(_label(one, n), lambda one=one: read(one, is_allow=True)) for n, one in enumerate(allow, 1)),
    )


def write(entries: Iterable[Entry]) -> str:
    """Entries as a JSON file that `read_json` reads again."""
    listed: dict[str, list[dict[str, Any]]] = {"rules": [], "allow": [], "packs": []}
    for entry in entries:
        listed["packs" if entry.kind == PACK else "allow" if entry.is_allow else "rules"].append(entry.to_json())
    return json.dumps({"version": VERSION} | listed, ensure_ascii=False, indent=1) + "\n"


def _rules(entries: Sequence[Any], before: int, read: Read) -> Iterator[Item]:
    for number, one in enumerate(entries, before + 1):
        yield item_of(_label(one, number), lambda one=one: read(one))


def _is_pack(whole: Any) -> bool:
    known = cast("dict[str, Any]", whole) if isinstance(whole, dict) else {}
    return bool(known.keys() & {"id", "rules"}) and isinstance(known.get("rules", []), list)


def _pack(known: dict[str, Any], before: int, read: Read) -> Iterator[Item]:
    """The entries of a pack: each counts where it does, is off if it is, and does what it says unless it says more."""
    if "rules" not in known:
        yield item_of(_label(known, before + 1), lambda: read_pack(known))
        return
    use, shared = read_use(known), {name: known[name] for name in SHARED if name in known}
    for item in _rules([_sharing(shared, one) for one in known["rules"]], before, read):
        entry = item.entry if item.entry is None or use.is_on else replace(item.entry, is_on=False)
        yield replace(item, entry=entry, outer=use.scope)


def _sharing(shared: dict[str, Any], entry: Any) -> Any:
    if isinstance(entry, str):
        return shared | {"pattern": entry}
    return shared | cast("dict[str, Any]", entry) if isinstance(entry, dict) else entry


def _label(entry: Any, number: int) -> str:
    return str(cast("dict[str, Any]", entry).get("id", number)) if isinstance(entry, dict) else str(number)


def item_of(label: str, read: Callable[[], Entry], note: str = "") -> Item:
    """What could be read, or the sentence that says why not."""
    try:
        return Item(label, read(), note=note)
    except BadRule as error:
        return Item(label, None, str(error))
