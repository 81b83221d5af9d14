"""Applies the filter's verdict to a request: replaced texts, and what its row records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from limner.bot.filters.rules import RuleAction, strongest
from limner.bot.filters.verdicts import MODEL, Verdict
from limner.bot.queue.enqueue import NewJob
from limner.bot.reasons import HAS_MINORS, POLICIES_FOUND, HoldReason
from limner.bot.storage.tables.models import Job
from limner.generators.base import Expansion
from limner.generators.requests import GenerationRequest


def texts(idea: str, request: GenerationRequest, expansion: str, painted: str, file_name: str) -> dict[str, str]:
    """All texts of a request by the names that refusals use; ``painted`` is the final prompt."""
    return {
        "idea": idea,
        "negative prompt": request.negative_prompt,
        "expansion": expansion,
        "style": painted,
        "file name": file_name,
        "LoRA": ", ".join(name for name, _ in request.loras),
        MODEL: request.model,
        "part": request.part,
        "mix": request.mix.prompt if request.mix else "",
        "change": "\n".join(prompt for _, prompt in request.steering),
    }


def obeyed(new: NewJob, verdict: Verdict) -> NewJob:
    """A new request with the verdict's texts and record."""
    idea, negative = verdict.texts["idea"], verdict.texts["negative prompt"]
    return replace(
        remember(new, verdict),
        idea=idea,
        request=replace(new.request, prompt=idea, negative_prompt=negative),
        expansion=reworded(new.expansion, idea, verdict) if new.expansion else None,
        prompt=verdict.texts["style"] if new.prompt else new.prompt,
        input_name=verdict.texts["file name"],
    )


def remember(new: NewJob, verdict: Verdict) -> NewJob:
    """A new request with the verdict's record, its texts unchanged."""
    kept = remembered(verdict)
    kept |= {"is_spoiler": new.is_spoiler or kept["is_spoiler"], "notes": noted(new.notes, verdict)}
    return replace(new, **kept)


def without_words(new: NewJob) -> NewJob:
    """A request of which the row keeps who asked, when, where and the code, but no word."""
    return replace(
        new,
        idea="",
        request=new.request.without_words,
        style="",
        prompt=None,
        expansion=None,
        input_name="",
        notes=dict[str, Any](),
    )


def obey(job: Job, verdict: Verdict) -> None:
    """The same for an accepted job, whose row is written later."""
    job.notes = noted(job.notes, verdict)
    if verdict.action is None:
        return
    idea, negative = verdict.texts["idea"], verdict.texts["negative prompt"]
    job.idea, job.request = idea, job.request | {"prompt": idea, "negative_prompt": negative}
    job.input_name = verdict.texts["file name"]
    new = remembered(verdict)
    job.rule_ids = sorted({*job.rule_ids, *new["rule_ids"]})
    job.rule_action = strongest(RuleAction(one) for one in (job.rule_action, new["rule_action"]) if one)
    job.is_spoiler = job.is_spoiler or new["is_spoiler"]
    job.quarantine = job.quarantine or new["quarantine"]


def noted(notes: Mapping[str, Any], verdict: Verdict) -> dict[str, Any]:
    """A job's notes with those of a verdict."""
    found = {POLICIES_FOUND: [one.to_json() for one in verdict.findings]} if verdict.findings else {}
    return {**notes, **found, **({HAS_MINORS: True} if verdict.has_minors else {})}


def reworded(expansion: Expansion, idea: str, verdict: Verdict) -> Expansion:
    """An expansion with the verdict's texts."""
    text = verdict.texts["expansion"]
    return expansion if text == expansion.text else replace(expansion, text=text, added=added_to(idea, text))


def added_to(idea: str, text: str) -> str:
    """What a text has besides the idea that it begins with."""
    return text.removeprefix(idea).strip(" ,")


def remembered(verdict: Verdict) -> dict[str, Any]:
    """The columns of a verdict in a job's row; never a word of its texts."""
    is_flagged = RuleAction.FLAG in verdict.actions
    return {
        "rule_ids": verdict.rule_ids,
        "rule_action": verdict.action,
        "is_spoiler": verdict.is_spoiler,
        "quarantine": HoldReason.FLAGGED if is_flagged else None,
    }
