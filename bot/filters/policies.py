"""Rules about what a text means: a policy, how sure the text classifier must be, and what it finds."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, replace

from limner.bot.errors import BadRule
from limner.bot.filters.rules import Rule, RuleAction
from limner.bot.filters.verdicts import MODEL, Finding, Refusal, Verdict
from limner.bot.reasons import EndCode
from limner.bot.settings import Settings
from limner.bot.translation import N_, _
from limner.generators.errors import error_site
from limner.generators.installed import text_classifier
from limner.generators.text_classifiers import POLICIES, PolicyScore, TextClassifier
from limner.generators.weights import without_weights

log = logging.getLogger(__name__)

OFF = "off"
USUAL = 70
"""How sure the classifier must be, in per cent, unless a moderator says otherwise."""
NAMES = {
    "violence": N_("violence"),
    "sexual": N_("sexual content"),
    "minors": N_("children and teenagers"),
    "hate": N_("hate"),
    "self-harm": N_("self-harm"),
    "politics": N_("politics"),
}
NOT_READ = frozenset({"negative prompt", "file name", "LoRA", MODEL})
"""Fields that say nothing about what is painted, or its opposite."""
NO_POLICY = N_("A policy is written as its name and a percentage, such as violence 70; the names are {names}.")
NO_REPLACEMENT = N_("A policy is about a whole text, so nothing can be put in its place; choose another action.")
NOT_ALLOWED = N_("A policy cannot be on the allow list; write the words that it should free.")
LOAD_SECONDS = 60.0
"""How long a request waits for the classifier to be loaded, once in a process."""
_PATTERN = re.compile(rf"({'|'.join(POLICIES)}) ([1-9][0-9])")
_SENTENCE = N_(
    "The {field} is about {policy}, as the text classifier reads it, and that is not allowed here (code {code}); "
    "change it and ask again."
)
_SENTENCE_WITH_REASON = N_(
    "The {field} is about {policy}, as the text classifier reads it, and that is not allowed here (code {code}); "
    "change it and ask again. {reason}"
)


@dataclass(frozen=True)
class PolicyRule:
    """A rule that matches what the classifier is so sure about."""

    rule: Rule
    policy: str
    least: float

    @classmethod
    def of(cls, rule: Rule) -> PolicyRule:
        """What a checked pattern such as ``violence 70`` says."""
        policy, percent = rule.pattern.split(" ")
        return cls(rule, policy, int(percent) / 100)


def tidy_policy(pattern: str) -> str:
    """The policy and percentage with one space between; raises BadRule if it is neither."""
    found = _PATTERN.fullmatch(" ".join(pattern.strip().removesuffix("%").split()))
    if not found:
        raise BadRule(_(NO_POLICY, names=", ".join(POLICIES)))
    return found[0]


def check_policy(action: RuleAction, *, is_allow: bool) -> None:
    """Raise BadRule for what a policy cannot do."""
    if is_allow:
        raise BadRule(_(NOT_ALLOWED))
    if action == RuleAction.REPLACE:
        raise BadRule(_(NO_REPLACEMENT))


def has_text_classifier(settings: Settings) -> bool:
    """Whether there is one by the settings; whether it works, `limner doctor` says."""
    try:
        return settings.text_classifier != OFF and bool(text_classifier(settings.text_classifier))
    except ImportError:
        return False


def load_text_classifier(settings: Settings) -> TextClassifier | None:
    """The configured text classifier, None if it is switched off; blocks, and raises what its `create` raises."""
    if settings.text_classifier == OFF:
        return None
    return (
        text_classifier(settings.text_classifier)
        .load()
        .create(
            model=settings.text_classifier_model,
            url=settings.text_classifier_url,
            api_key=settings.text_classifier_api_key,
            timeout=settings.text_classifier_timeout,
        )
    )


class PolicyReader:
    """Has texts classified where a server has rules about policies; the classifier is loaded when it is first needed.

    Without a classifier, or when it fails or takes too long, nothing is found: it stands beside the rules and the
    floor, which need none.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._classifier: asyncio.Task[TextClassifier | None] | None = None

    async def find(self, rules: Sequence[PolicyRule], texts: Mapping[str, str]) -> list[Finding]:
        """The first field in which each of the rules matches."""
        fields = [name for name, text in texts.items() if text.strip() and name not in NOT_READ]
        if not rules or not fields:
            return []
        scores = await self.classify([texts[name] for name in fields])
        found = (
            Finding(rule.rule, name, score)
            for rule in rules
            for name, some in zip(fields, scores, strict=True)
            for score in some
            if score.policy == rule.policy and score.score >= rule.least
        )
        return [*{one.rule.id: one for one in reversed([*found])}.values()]

    async def classify(self, texts: Sequence[str]) -> Sequence[Sequence[PolicyScore]]:
        """The scores of each text, read without weights; none if they cannot be had."""
        try:
            async with asyncio.timeout(LOAD_SECONDS):
                classifier = await asyncio.shield(self._loaded())
            async with asyncio.timeout(self._settings.text_classifier_timeout):
                if classifier:
                    return await classifier.classify([without_weights(text) for text in texts])
        except Exception as error:  # any exception of an unknown classifier leaves the texts unread
            log.error("texts_not_classified reason=%s", error_site(error))
        return [()] * len(texts)

    async def close(self) -> None:
        """Close the classifier, if it was loaded."""
        task = self._classifier
        if task and task.done() and not task.exception() and (classifier := task.result()):
            await classifier.close()

    def _loaded(self) -> Awaitable[TextClassifier | None]:
        if self._classifier is None:
            self._classifier = asyncio.create_task(
                asyncio.to_thread(load_text_classifier, self._settings), name="load-text-classifier"
            )
        return self._classifier


def with_policies(verdict: Verdict, findings: Sequence[Finding], *, flags_block: bool) -> Verdict:
    """The verdict with the rules that matched by what the texts mean; with ``flags_block`` a flag blocks."""
    if not findings:
        return verdict
    actions = verdict.actions | {one.rule.action for one in findings}
    blocking = {RuleAction.BLOCK, *[RuleAction.FLAG] * flags_block}
    refusal = next((_refusal(one) for one in findings if one.rule.action in blocking), None)
    rules = [*verdict.rules, *(one.rule for one in findings)]
    return replace(verdict, rules=rules, actions=actions, refusal=refusal, findings=findings)


def _refusal(finding: Finding) -> Refusal:
    rule = finding.rule
    code = EndCode.FILTER.about(f"policy-{finding.found.policy}")
    sentence = _(
        _SENTENCE_WITH_REASON if rule.reason else _SENTENCE,
        field=_(finding.field),
        policy=_(NAMES[finding.found.policy]),
        code=code,
        reason=rule.reason,
    )
    return Refusal(code, sentence, rule.id, finding.field)
