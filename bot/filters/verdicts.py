"""The verdict on a request: every matching rule, the strongest action, and the texts after replacement."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from limner.bot.filters.matcher import Match, Matcher
from limner.bot.filters.rules import Rule, RuleAction, strongest
from limner.bot.filters.work import TooCostly, Work
from limner.bot.place import Place
from limner.bot.reasons import EndCode
from limner.bot.translation import N_, _
from limner.generators.text_classifiers import PolicyScore
from limner.generators.weights import without_weights

CHOSEN = ("LoRA", "part", "mix", "change", "picture")
"""Fields in which a replacement makes no sense: names of existing things, words beside the idea, and painted ones."""
MODEL = "model"
"""The field of the model's name, which the floor alone reads: who may use which model is no matter of words."""
FIELDS = (
    N_("idea"),
    N_("negative prompt"),
    N_("expansion"),
    N_("style"),
    N_("file name"),
    N_("LoRA"),
    N_("model"),
    N_("part"),
    N_("mix"),
    N_("change"),
    N_("picture"),
)
"""The texts of a request, as a refusal names them."""
WITHOUT_REASON = N_("The {field} has words that are not allowed here (code {code}); change them and ask again.")
WITH_REASON = N_("The {field} has words that are not allowed here (code {code}); change them and ask again. {reason}")
FLOOR = EndCode.FILTER.about("floor")
"""How the codes of refusals begin that no rule decides."""
ROUNDS = 3
"""How often a text is checked again after a replacement."""
_ANYWHERE = Place()


@dataclass(frozen=True)
class Refusal:
    """Why a request is refused: a sentence without its words for the member, and a code for the log."""

    code: str
    sentence: str
    #: The rule that forbids it, or takes most of the steps; empty if there is none.
    rule_id: str
    field: str

    @property
    def is_by_floor(self) -> bool:
        """Whether it is refused everywhere, whatever the rules are (`bot.filters.floor`)."""
        return self.code.startswith(FLOOR)

    @property
    def is_for_cost(self) -> bool:
        """Whether the check exceeded its steps."""
        return self.code.startswith(EndCode.COST.prefix)


@dataclass(frozen=True)
class Finding:
    """A rule about a policy that matched, the field in which it did, and the text classifier's score."""

    rule: Rule
    field: str
    found: PolicyScore

    def to_json(self) -> dict[str, Any]:
        """What a job's notes keep: never a word of the request."""
        return {"rule": int(self.rule.id), "score": round(self.found.score, 3), "nearest": [*self.found.nearest]}


@dataclass(frozen=True)
class Verdict:
    """The rules' verdict on a request.

    ``action`` is the strongest of all matching rules, None without a match; a block has a ``refusal``.
    """

    #: Every text by field, after replacements.
    texts: Mapping[str, str]
    rules: Sequence[Rule] = ()
    refusal: Refusal | None = None
    actions: frozenset[RuleAction] = field(default_factory=frozenset[RuleAction])
    #: Whether it names minors, which nothing forbids by itself.
    has_minors: bool = False
    #: What the text classifier finds.
    findings: Sequence[Finding] = ()

    @property
    def action(self) -> RuleAction | None:
        """What happens to the request."""
        return RuleAction.BLOCK if self.refusal else strongest(self.actions)

    @property
    def is_spoiler(self) -> bool:
        """Whether the pictures are posted hidden."""
        return RuleAction.SPOILER in self.actions

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
    """Compare the texts of a request, by field, with all rules that count in the place.

    ``matchers`` are those for each field. With ``flags_block`` a flag blocks, because there is no review channel.
    ``pardoned`` rules do not count. A text that takes more ``work`` than is left is refused.
    """
    work = work or Work.of(texts.values())
    found, allowed, refusal = dict[Rule, None](), dict[str, str](), None
    for name, text in texts.items():
        settled = settle(text, matchers[name] if text else (), place, pardoned, work)
        if (read := without_weights(settled.text)) != settled.text:
            settled = _joined(settled, settle(read, matchers[name], place, pardoned, work))
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
    """A text after replacements, and all rules that matched it."""

    text: str
    rules: list[Rule]
    #: A rule whose replacement is impossible, or leaves nothing.
    stubborn: Rule | None = None
    #: Why the check was given up.
    given_up: TooCostly | None = None


def settle(
    text: str,
    matchers: Sequence[Matcher],
    place: Place = _ANYWHERE,
    pardoned: Collection[int] = (),
    work: Work | None = None,
) -> Settled:
    """Apply the replacements of ``matchers`` to a text; without ``work``, as its length allows."""
    work = work or Work.of([text])
    rules, replaced, before = dict[Rule, None](), list[Match](), text
    for _round in range(ROUNDS):
        matches: list[Match] = []
        try:
            for match in chain.from_iterable(matcher.matches(text, place, work) for matcher in matchers):
                matches.append(match)
        except TooCostly as error:
            return Settled(text, [*rules, *(match.rule for match in _counting(matches, pardoned))], given_up=error)
        matches = _counting(matches, pardoned)
        rules |= dict.fromkeys(match.rule for match in matches)
        replaced = [match for match in matches if match.rule.action == RuleAction.REPLACE]
        if not replaced:
            break
        text = rewrite(text, replaced)
    if replaced:
        return Settled(text, [*rules], replaced[0].rule)
    is_gone = bool(before.strip()) and not text.strip()
    return Settled(text, [*rules], [*rules][-1] if is_gone else None)


def _joined(written: Settled, read: Settled) -> Settled:
    """What was found in a text and in its words without weights, in which nothing can be replaced."""
    stubborn = written.stubborn or next(
        (rule for rule in read.rules if rule.action == RuleAction.REPLACE), read.stubborn
    )
    given_up = written.given_up or read.given_up
    return Settled(written.text, [*dict.fromkeys([*written.rules, *read.rules])], stubborn, given_up)


def _counting(matches: list[Match], pardoned: Collection[int]) -> list[Match]:
    return [match for match in matches if int(match.rule.id) not in pardoned] if pardoned else matches


def rewrite(text: str, matches: Iterable[Match]) -> str:
    """The text with each match replaced; of overlapping matches the first one counts."""
    parts, here = list[str](), 0
    for match in sorted(matches, key=lambda match: (match.start, -match.end)):
        if match.start >= here:
            parts += [text[here : match.start], match.rule.replacement]
            here = match.end
    return " ".join("".join([*parts, text[here:]]).split())


def _blocks(rule: Rule, name: str, flags_block: bool) -> bool:
    return (
        rule.action == RuleAction.BLOCK
        or (rule.action == RuleAction.FLAG and flags_block)
        or (rule.action == RuleAction.REPLACE and name in CHOSEN)
    )


def _refusal(name: str, rule: Rule) -> Refusal:
    code = EndCode.FILTER.about(name.split()[0])
    sentence = _(WITH_REASON if rule.reason else WITHOUT_REASON, field=_(name), code=code, reason=rule.reason)
    return Refusal(code, sentence, rule.id, name)


def too_costly(name: str, error: TooCostly) -> Refusal:
    """The refusal of a request whose field ``name`` takes too many steps."""
    code = EndCode.COST.about(name.split()[0])
    sentence = _(
        "That text takes too long to check here (the {field}, code {code}); write it shorter or more plainly.",
        field=_(name),
        code=code,
    )
    return Refusal(code, sentence, error.rule_id, name)
