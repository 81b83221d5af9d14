"""What becomes of a request: every rule that matches, the strongest of their actions, and the text as it may be."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

from limner.bot.filters.matcher import Match, Matcher
from limner.bot.filters.rules import Action, Rule, strongest
from limner.bot.filters.work import TooCostly, Work
from limner.bot.place import Place
from limner.bot.reasons import EndCode

CHOSEN = ("LoRA",)
"""Fields that name what is there: another word in its place would name nothing."""
ROUNDS = 3
"""How often a text is read anew after something in it was replaced."""
_ANYWHERE = Place()


@dataclass(frozen=True)
class Refusal:
    """Why a request may not be painted: for its asker a sentence that repeats no word of it, for the log a code."""

    code: str
    sentence: str
    #: The rule that forbids it, or that takes most of the steps; empty if no rule does.
    rule_id: str
    field: str

    @property
    def is_for_cost(self) -> bool:
        """Whether the check was given up because it takes too long."""
        return self.code.startswith(EndCode.COST.prefix)


@dataclass(frozen=True)
class Verdict:
    """What rules say of a request.

    ``action`` is the strongest of all that matched, None if nothing did; with block there is a ``refusal``.
    """

    #: Every text by its field, as it may be painted.
    texts: Mapping[str, str]
    rules: Sequence[Rule] = ()
    refusal: Refusal | None = None
    actions: frozenset[Action] = field(default_factory=frozenset[Action])

    @property
    def action(self) -> Action | None:
        """What happens to the request."""
        return Action.BLOCK if self.refusal else strongest(self.actions)

    @property
    def is_spoiler(self) -> bool:
        """Whether the pictures are posted hidden."""
        return Action.SPOILER in self.actions

    @property
    def rule_ids(self) -> list[int]:
        """The numbers of the rules that matched, each once."""
        return sorted({int(rule.id) for rule in self.rules})


def judge(
    texts: Mapping[str, str],
    matchers: Mapping[str, Sequence[Matcher]],
    place: Place,
    *,
    flags_block: bool,
    pardoned: Collection[int] = (),
    work: Work | None = None,
) -> Verdict:
    """Compare the texts of a request, by the names of their fields, with all rules that count in the place.

    ``matchers`` are those for each field. ``flags_block`` says that nobody is there to look at what is flagged. Rules
    that were ``pardoned`` for this request do not count. What takes more ``work`` than is left is refused.
    """
    work = work or Work.of(texts.values())
    found, allowed, refusal = dict[Rule, None](), dict[str, str](), None
    for name, text in texts.items():
        settled = settle(text, matchers[name] if text else (), place, pardoned, work)
        allowed[name] = settled.text
        found |= dict.fromkeys(settled.rules)
        blocking = next((rule for rule in settled.rules if _blocks(rule, name, flags_block)), settled.stubborn)
        if blocking and refusal is None:
            refusal = _refusal(name, blocking)
        if settled.given_up:
            refusal = refusal or too_costly(name, settled.given_up)
            break
    actions = frozenset(rule.action for rule in found)
    return Verdict(texts if refusal else allowed, [*found], refusal, actions)


@dataclass
class Settled:
    """A text as it may be, and all rules that matched it."""

    text: str
    rules: list[Rule]
    #: One whose replacement cannot be done, or leaves nothing.
    stubborn: Rule | None = None
    #: Why not all rules were compared with it.
    given_up: TooCostly | None = None


def settle(
    text: str,
    matchers: Sequence[Matcher],
    place: Place = _ANYWHERE,
    pardoned: Collection[int] = (),
    work: Work | None = None,
) -> Settled:
    """Replace in a text what rules of ``matchers`` replace; with no ``work``, as its length allows."""
    work = work or Work.of([text])
    rules, replaced, before = dict[Rule, None](), list[Match](), text
    for _ in range(ROUNDS):
        matches: list[Match] = []
        try:
            for match in chain.from_iterable(matcher.matches(text, place, work) for matcher in matchers):
                matches.append(match)
        except TooCostly as error:
            return Settled(text, [*rules, *(match.rule for match in _counting(matches, pardoned))], given_up=error)
        matches = _counting(matches, pardoned)
        rules |= dict.fromkeys(match.rule for match in matches)
        replaced = [match for match in matches if match.rule.action == Action.REPLACE]
        if not replaced:
            break
        text = rewrite(text, replaced)
    if replaced:
        return Settled(text, [*rules], replaced[0].rule)
    is_gone = bool(before.strip()) and not text.strip()
    return Settled(text, [*rules], [*rules][-1] if is_gone else None)


def _counting(matches: list[Match], pardoned: Collection[int]) -> list[Match]:
    return [match for match in matches if int(match.rule.id) not in pardoned] if pardoned else matches


def rewrite(text: str, matches: Iterable[Match]) -> str:
    """The text with each match's replacement in its place; where matches overlap, the one that begins first counts."""
    parts, here = list[str](), 0
    for match in sorted(matches, key=lambda match: (match.start, -match.end)):
        if match.start >= here:
            parts += [text[here : match.start], match.rule.replacement]
            here = match.end
    return " ".join("".join([*parts, text[here:]]).split())


def _blocks(rule: Rule, name: str, flags_block: bool) -> bool:
    return (
        rule.action == Action.BLOCK
        or (rule.action == Action.FLAG and flags_block)
        or (rule.action == Action.REPLACE and name in CHOSEN)
    )


def _refusal(name: str, rule: Rule) -> Refusal:
    code = EndCode.FILTER.about(name.split()[0])
    reason = f" {rule.reason}" if rule.reason else ""
    sentence = f"The {name} has words that are not allowed here (reason {code}); change them and ask again.{reason}"
    return Refusal(code, sentence, rule.id, name)


def too_costly(name: str, error: TooCostly) -> Refusal:
    """The refusal of a request if the check of its field ``name`` is given up."""
    code = EndCode.COST.about(name.split()[0])
    sentence = f"That text takes too long to check here (the {name}, reason {code}); write it shorter or more plainly."
    return Refusal(code, sentence, error.rule_id, name)
