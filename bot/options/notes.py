"""Notes in a request's message about words without effect: from the row, or from the words themselves."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from limner.bot.options.repeats import sentence_of
from limner.bot.quantities import decimal
from limner.bot.reasons import JobStatus
from limner.bot.storage.tables.models import Job
from limner.bot.styles import Styles
from limner.bot.translation import N_, _, commas, stored
from limner.generators.cards.model_card import ModelCard
from limner.generators.requests import GenerationRequest
from limner.generators.weights import without_weights

LEFT_OUT = "left_out"
"""The style's negative prompt is not used, because the model leaves nothing out."""
IN_WORDS = "in_words"
"""The negative prompt is part of the prompt, because the images server has no field for it."""
NO_NEGATIVE = "no_negative"
"""What is remembered of a model (`generators.measured`) that was seen to take no negative prompt."""
NO_LORA = "no_lora"
"""The same of a model that was seen to take no LoRA."""
UNUSED = "unused"
"""Options of the request that its images server does not take, and what is remembered of the server."""
SEEDED = "seeded"
"""The member chose the seed of a request to an images server."""
UNREAD, UNREAD_NEGATIVE = "unread", "unread_negative"
"""The ends of the prompt and of the negative prompt that exceed the model's text encoders."""
TOO_LONG = "too_long"
"""How many tokens the model reads, of an idea with more words than that."""
UNKNOWN, UNKNOWN_STYLE = "unknown", "unknown_style"
"""The words of the idea that the model does not know, and that the style has mostly unknown words."""
WEIGHED = "weighed"
"""The model reads weights of words, and there are some."""
NOT_CHANGED = "not_changed"
"""Why a change that a member made while it was painted could not be carried out."""
TRYOUT = "tryout"
"""It is the member's first picture by the model for trying Limner."""
REPEATED = "repeated"
"""How a repeat compares with the request that it repeats."""
WITHOUT = "without"
"""The LoRA for few steps of the draft that is enhanced, which is removed since."""
EXPLAINED = "explained"
"""What the sheets of an explanation cannot say: numbered words, whether there is a comparison, and its likenesses."""
REFINED = "refined"
"""What was missing in a refined request's pictures, what was done, and what is missing still."""
BRIDGED = "bridged"
"""How many of an animation's frames were painted from a cross-fade of their neighbours."""
FRAMES_WANTED = "frames_wanted"
"""How many frames were asked for, of a video whose model paints other numbers of them."""
CHOSEN = "chosen"
"""The lines that stand for the wildcards of the prompt, with the names of their lists."""
AREAS = {
    "left": N_("{word} (left half)"),
    "right": N_("{word} (right half)"),
    "top": N_("{word} (upper half)"),
    "bottom": N_("{word} (lower half)"),
}
WITHIN, AROUND = N_("{word} (where it shows {things})"), N_("{word} (around {things})")
TOO_LATE = N_("The last change came after the last step, so it has no effect.")
SHOWN = 160
"""Most characters of a member's words that a note repeats."""

_QUOTED = r'"[^"]*"|“[^”]*”|„[^“”]*[“”]|«[^»]*»|「[^」]*」'
# What AUTOMATIC1111's web UI (https://github.com/AUTOMATIC1111/stable-diffusion-webui/wiki/Features), ComfyUI and
# Midjourney's multi-prompts understand. Brackets alone are prose, and so are a time, a ratio and a verse in them.
_SYNTAX = re.compile(
    rf"""(?:{_QUOTED})|(?P<syntax>
      \([^():]*[^\s\d():]:\d{{0,2}}[.,]\d{{1,3}}\)                    # (word:1.3)
    | (?<!\()\({{2,}}[^()]+\){{2,}}                                            # ((word))
    | \[[^\[\]:]*:[^\[\]:]*:\d{{0,3}}(?:\.\d{{1,3}})?\]                 # [from:to:0.5]
    | <(?:lora|lyco|hypernet|embedding):[^<>]*>                         # <lora:name:0.7>
    | \bembedding:\S+
    | \{{[^{{}}|]*\|[^{{}}]*\}}                                         # {{one|another}}
    | (?<![\w'-])[\w'-]+::(?:-?\d{{1,3}}(?:[.,]\d{{1,3}})?)?(?!\S)                 # word::2
    )""",
    re.VERBOSE | re.IGNORECASE,
)
_WORD = re.compile(r"[^\W\d_]+")
_BREAK = re.compile(r"(?<!\S)BREAK(?!\S)")

STATUSES = {
    JobStatus.QUEUED: N_("queued"),
    JobStatus.RUNNING: N_("running"),
    JobStatus.SUCCEEDED: N_("succeeded"),
    JobStatus.FAILED: N_("failed"),
    JobStatus.CANCELLED: N_("cancelled"),
    JobStatus.REFUSED: N_("refused"),
}


def sentences(job: Job, styles: Styles) -> list[str]:
    """One sentence for each kind of words that do nothing, the most important one first."""
    return list(_sentences(job, styles))


def in_vain(card: ModelCard, request: GenerationRequest, notes: Mapping[str, Any], unused: Sequence[str]) -> list[str]:
    """Which of the options that an images server does not take a member chose."""
    chosen = {
        "steps": request.num_inference_steps != card.num_inference_steps,
        "guidance": request.guidance_scale != card.guidance_scale,
        "seed": bool(notes.get(SEEDED)),
        "strength": request.strength is not None,
    }
    return [option for option in unused if chosen[option]]


def too_long(text: str, most: int | None) -> int | None:
    """The limit ``most`` in tokens if a text certainly exceeds it; a word has one token at least."""
    return most if most and len(_WORD.findall(text)) > most else None


def not_understood(text: str) -> list[str]:
    """The parts of a text that other tools read as weights, LoRAs and the like, and Limner as plain words."""
    found = [match["syntax"] for match in _SYNTAX.finditer(text) if match["syntax"]]
    loud = any(word.isupper() and len(word) > 1 and word != "BREAK" for word in re.findall(r"\w+", text))
    return list(dict.fromkeys([*found, *([] if loud else _BREAK.findall(text))]))


def _sentences(job: Job, styles: Styles) -> Iterator[str]:
    notes: dict[str, Any] = job.notes
    if repeated := notes.get(REPEATED):
        yield sentence_of(repeated, _("request {job}", job=repeated["job"]))
    if explained := notes.get(EXPLAINED):
        yield from _explained(explained)
    if refined := notes.get(REFINED):
        yield from _refined(refined)
    said = job.idea, str(job.request["negative_prompt"])
    found = [part for text in said for part in not_understood(without_weights(text) if notes.get(WEIGHED) else text)]
    if found:
        yield _("Not understood, read as plain words: {words}", words=_some(commas(dict.fromkeys(found))))
    if chosen := notes.get(CHOSEN):
        yield _("Chosen from lists: {choices}", choices=_some(commas(f"{name} = {line}" for name, line in chosen)))
    if notes.get(LEFT_OUT):
        yield _(
            "The model {model} leaves nothing out, so the style's negative prompt is not used.",
            model=job.request["model"],
        )
    if bridged := notes.get(BRIDGED):
        yield _(
            "Where the model jumps from one picture to another, {number} of {frames} frames were painted from a "
            "cross-fade of both.",
            number=bridged,
            frames=job.generation.frames,
        )
    model = job.request["model"]
    if wanted := notes.get(FRAMES_WANTED):
        yield _(
            "{frames} frames instead of {wanted}, as {model} paints no videos of so many.",
            frames=job.generation.frames,
            wanted=wanted,
            model=model,
        )
    if unused := notes.get(UNUSED):
        yield _("The images server of {model} does nothing with: {options}", model=model, options=commas(unused))
    if lora := notes.get(WITHOUT):
        yield _("The draft's LoRA {name} for few steps is not there any more; full quality does without it.", name=lora)
    if unread := notes.get(UNREAD):
        yield _("Not read, there is room for no more: {words}", words=_some(unread))
    elif most := notes.get(TOO_LONG):
        yield _(
            "{model} reads at most {number} tokens, and each word is one or more: the end of the idea has no effect.",
            model=model,
            number=most,
        )
    if unread := notes.get(UNREAD_NEGATIVE):
        yield _("Not read of what is not wanted: {words}", words=_some(unread))
    unknown = [*notes.get(UNKNOWN, ())]
    if notes.get(UNKNOWN_STYLE):
        unknown.append(_("most words of the style {style}", style=styles.title(job.style)))
    if unknown:
        yield _("{model} does not know: {words}", model=model, words=_some(commas(unknown)))
    if late := notes.get(NOT_CHANGED):
        yield stored(str(late))
    elif job.steer_to and job.is_final:
        yield _(TOO_LATE)
    if notes.get(TRYOUT):
        yield _(
            "{model} is a small model to try Limner with. It knows few simple things; for other pictures the operator "
            "names another one in the setting models.",
            model=model,
        )


def _explained(found: Mapping[str, Any]) -> Iterator[str]:
    if found["words"]:
        yield _("Each word's picture is bright where the model looked at that word while it painted.")
    else:
        yield _("None of its words has a map, as there are only grammatical ones.")
    if numbered := found["numbered"]:
        yield _(
            "Words by number: {words}", words=_some(commas(f"{number} {word}" for number, word in numbered.items()))
        )
    if not found["compared"]:
        yield _("The prompt has no added words to leave out, so there is nothing to compare.")
        return
    yield _("Left with the added words, right without them, from the same seed.")
    if found["likeness"]:
        left, right = (decimal(value, 2) for value in found["likeness"])
        yield _("Likeness to the idea: {left} on the left, {right} on the right.", left=left, right=right)


def _refined(found: Mapping[str, Any]) -> Iterator[str]:
    if not found["read"]:
        yield _("The pictures could not be read back, so the first ones are kept.")
    elif not found["judged"]:
        yield _("None of these words can be read back in a picture, so it was painted once.")
    elif not found["first"]:
        yield _("All that can be read back was seen in the first picture.")
    else:
        yield _("Not seen at first: {words}", words=_some(commas(found["first"])))
        yield _("Painted again with more weight on: {words}", words=_some(commas(found["again"])))
        if found["missing"]:
            yield _(
                "Still not seen, so the best picture so far is kept (further rounds: {rounds}): {words}",
                rounds=found["rounds"],
                words=_some(commas(found["missing"])),
            )
        else:
            yield _("Now all of it is seen. Further rounds: {rounds}", rounds=found["rounds"])
        if parts := found.get("parts"):
            yield _(
                "Only a part of the best picture was painted again for: {words}", words=_some(commas(map(_part, parts)))
            )


def _part(part: Mapping[str, Any]) -> str:
    """A missing word, and where it was painted."""
    if part["area"]:
        return _(AREAS[part["area"]], word=part["word"])
    text = AROUND if part["is_around"] else WITHIN
    return _(text, word=part["word"], things=commas(part["things"]))


def _some(words: str) -> str:
    return words if len(words) <= SHOWN else words[: SHOWN - 1].rstrip() + "…"
