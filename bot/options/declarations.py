"""The options of /imagine, each declared once for commands, flags, forms, remix, details, PNG files and docs."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from limner.bot.errors import BadOption
from limner.bot.options.fields import (
    Aspect,
    Count,
    Field,
    InFinish,
    InJob,
    InQuality,
    InRequest,
    Lora,
    Negative,
    Nowhere,
    Private,
    SamplerField,
    Seed,
    Size,
    Switch,
    Tuned,
)
from limner.bot.options.reference_fields import (
    LEAST_WEIGHT,
    MOST_OF_ROLE,
    ControlPictures,
    Controls,
    InReferences,
    ReferenceWeight,
    suggested_controls,
)
from limner.bot.posted_pictures import NAMED
from limner.bot.translation import N_, _
from limner.generators.lora_words import trigger_words
from limner.generators.model_card import ModelCard
from limner.generators.qualities import QUALITIES
from limner.generators.references import Role
from limner.generators.requests import SEEDS, GenerationRequest

if TYPE_CHECKING:
    from limner.bot.app import App
    from limner.bot.queue.enqueue import NewJob
    from limner.bot.settings import Settings
    from limner.bot.storage.tables.models import Job

PROMPT = N_("What you want to see")
ASPECTS = ("1:1", "3:2", "2:3", "16:9", "9:16")
EXPAND = ("on", "off", "preview")
LEAST_STRENGTH = 0.05
MOST_UPSCALE = 4


class OptionKind(StrEnum):
    """The type of an option's value, named by its placeholder in help texts."""

    RATIO = "W:H"
    SIZE = "WxH"
    WHOLE = "N"
    NUMBER = "X"
    NAME = "NAME"
    WORDS = "TEXT"
    PICTURE = "FILE"
    LINK = "LINK"
    BARE = ""


NUMERIC = (OptionKind.RATIO, OptionKind.SIZE, OptionKind.WHOLE, OptionKind.NUMBER)
WANTED = {
    OptionKind.RATIO: N_("a width and a height"),
    OptionKind.SIZE: N_("a width and a height in pixels"),
    OptionKind.WHOLE: N_("a whole number"),
    OptionKind.NUMBER: N_("a number"),
    OptionKind.NAME: N_("a name"),
    OptionKind.WORDS: N_("words"),
    OptionKind.PICTURE: N_("a picture of mine, by its request and number"),
}
_PAIR = {
    OptionKind.RATIO: re.compile(r"(\d{1,9})[:：](\d{1,9})"),
    OptionKind.SIZE: re.compile(r"(\d{1,9})[x×](\d{1,9})"),
}
_DECIMAL = re.compile(r"\d{1,3}([.,]\d{1,6})?")

Suggest = Callable[["App", ModelCard, str], Iterable[tuple[str, str]]]
"""Suggestions for a partial value, with their labels, from the app and the chosen model's card."""


@dataclass(frozen=True, kw_only=True)
class Option:
    """One option: its syntax, its place in a request, and its texts."""

    #: In the slash command (with ``in_command``), in `limner imagine` and in forms.
    name: str
    #: One phrase of at most 100 characters, for Discord, the terminal and docs/members.md.
    help: str
    kind: OptionKind
    #: The place in a request that stores it.
    kept: Field
    #: Its names in the prompt, without hyphens.
    flags: tuple[str, ...] = ()
    #: Flags that stand alone, with the value that each one means.
    bare: Mapping[str, str] = field(default_factory=dict[str, str])
    in_command: bool = True
    #: The expected value and an example, for the error about a wrong one.
    wanted: str = ""
    example: str = ""
    #: Its name in the sentence about its range; numbers run from ``least`` to ``most``, or to what the settings allow.
    noun: str = ""
    least: float = 0
    most: float | None = None
    limit: Callable[[Settings], float] | None = None
    #: Discord's menu; names can have no other value.
    choices: tuple[str, ...] = ()
    suggest: Suggest | None = None
    #: How many pictures it may have in the slash command and on the command line.
    most_pictures: int = 1
    #: Why a model does not support it, in a sentence; empty if it does.
    cannot: Callable[[ModelCard], str] | None = None
    #: Whether its value is made for one model, so that a remix with another model begins with that one's own.
    is_of_model: bool = False
    #: Its label under Details and in a PNG file's parameters; empty: not shown.
    label: str = ""
    key: str = ""

    @property
    def picture_names(self) -> tuple[str, ...]:
        """Its names in the slash command if it takes pictures, one for each: control, control2."""
        numbers = range(2, self.most_pictures + 1) if self.in_command else ()
        return (self.name, *(f"{self.name}{number}" for number in numbers)) if self.kind == OptionKind.PICTURE else ()

    def read(self, given: Any) -> Any:
        """The value of typed or chosen text; None for empty. Raises BadOption."""
        if not isinstance(given, str):
            return given
        if not given:
            return None
        value = self.parse(given)
        if value is None:
            raise BadOption(_("The option {option} needs {what}.", option=self.name, what=self.needs()))
        return value

    def parse(self, text: str) -> Any:
        """The value of a text; None if the text is not valid."""
        if self.kind in (OptionKind.NAME, OptionKind.WORDS, OptionKind.PICTURE, OptionKind.LINK):
            return text if text and (not self.choices or text in self.choices) else None
        if self.kind in _PAIR:
            sides = _PAIR[self.kind].fullmatch(text)
            pair = (int(sides[1]), int(sides[2])) if sides else (0, 0)
            return pair if min(pair) else None
        if self.kind == OptionKind.NUMBER:
            return float(text.replace(",", ".")) if _DECIMAL.fullmatch(text) else None
        return int(text) if text.isdecimal() and len(text) <= 20 else None

    def parse_typed(self, text: str) -> Any:
        """The same for what a member types, which names a picture only as a posted one, such as 12-1."""
        if self.kind == OptionKind.PICTURE and not all(map(NAMED.fullmatch, text.split(","))):
            return None
        return self.parse(text)

    def write(self, value: Any) -> str:
        """The text of a value, as `parse` reads it."""
        if self.kind in _PAIR:
            return f"{value[0]}{':' if self.kind == OptionKind.RATIO else 'x'}{value[1]}"
        return f"{value:.9g}" if self.kind == OptionKind.NUMBER else str(value)

    def show(self, value: Any) -> str:
        """The text of a value for a reader: a choice in the current language."""
        written = self.write(value)
        return _(written) if written in self.choices else written

    def needs(self, before: str = "") -> str:
        """The expected value, with an example after ``before``, which may be a flag."""
        return _(
            "{what}, such as {example}", what=_(self.wanted or WANTED[self.kind]), example=f"{before}{self.example}"
        )

    def check(self, value: Any, settings: Settings, card: ModelCard) -> None:
        """Raise BadOption if a value is out of range or the model does not support the option."""
        if self.cannot and (why := self.cannot(card)):
            raise BadOption(why)
        most = self.limit(settings) if self.limit else self.most
        if most is not None and not self.least <= value <= most:
            raise BadOption(
                _("The {what} must be from {least} to {most}.", what=_(self.noun), least=self.least, most=most)
            )


def _styles(app: App, card: ModelCard, typed: str) -> Iterable[tuple[str, str]]:
    return ((style.shown, style.name) for style in app.styles.search(typed))


def _models(app: App, card: ModelCard, typed: str) -> Iterable[tuple[str, str]]:
    for other in app.settings.offered.values():
        if typed.casefold() in f"{other.name} {other.title}".casefold():
            title = other.title or other.name
            if other.needs_picture:
                title = _("{model} (needs a picture)", model=title)
            elif other.dialect == "tags" and other.max_added_words:
                title = _("{model} (reads tags)", model=title)
            yield title, other.name


def _loras(app: App, card: ModelCard, typed: str) -> Iterable[tuple[str, str]]:
    """The LoRAs that begin so, with the words that they were trained with; those typed before stay."""
    before, comma, last = typed.rpartition(",")
    begun = f"{before}{comma} " if comma else ""
    for name, file in card.loras.items():
        if last.strip().casefold() in name.casefold():
            words = card.lora_words.get(name) or trigger_words(Path(file))
            yield begun + (_("{lora} (words: {words})", lora=name, words=words) if words else name), begun + name


def _samplers(app: App, card: ModelCard, typed: str) -> Iterable[tuple[str, str]]:
    return ((name, name) for name in card.samplers if typed.casefold() in name)


def _no_start(card: ModelCard) -> str:
    if card.starts:
        return ""
    return _("The model {model} cannot start from a picture; ask again with words only.", model=card.name)


def _no_tiles(card: ModelCard) -> str:
    if card.tiles:
        return ""
    return _("The model {model} cannot join a picture's edges; ask again without tile.", model=card.name)


def _controls(app: App, card: ModelCard, typed: str) -> Iterable[tuple[str, str]]:
    return suggested_controls(card, typed)


def _no_style(card: ModelCard) -> str:
    return _no_adapter(card, Role.STYLE)


def _no_subject(card: ModelCard) -> str:
    return _no_adapter(card, Role.SUBJECT)


def _no_blend(card: ModelCard) -> str:
    if Role.BLEND in card.adapters:
        return ""
    return _("The model {model} blends no pictures; choose another model.", model=card.name)


def _no_adapter(card: ModelCard, role: Role) -> str:
    if role in card.adapters:
        return ""
    return _(
        "The model {model} has no adapter for such references; leave them out or choose another model.", model=card.name
    )


def _no_control(card: ModelCard) -> str:
    if card.controls:
        return ""
    return _(
        "The model {model} has no ControlNet; leave out the control picture or choose another model.", model=card.name
    )


def _one_quality(card: ModelCard) -> str:
    if card.has_steps and not card.server:
        return ""
    return _("The model {model} paints in one quality only; leave out the option quality.", model=card.name)


OPTIONS = (
    Option(
        name="negative",
        help=N_("What you do not want to see"),
        kind=OptionKind.WORDS,
        kept=Negative("negative_prompt"),
        flags=("no", "negative"),
        wanted=N_("what must not be seen"),
        example="text",
        label=N_("Negative prompt"),
    ),
    Option(
        name="aspect",
        help=N_("Width to height; any W:H as a flag"),
        kind=OptionKind.RATIO,
        kept=Aspect(),
        flags=("ar",),
        example="3:2",
        choices=ASPECTS,
    ),
    Option(
        name="count",
        help=N_("How many pictures; picture i is painted from seed + i"),
        kind=OptionKind.WHOLE,
        kept=Count(),
        flags=("count",),
        example="2",
        noun=N_("number of pictures"),
        least=1,
        most=4,
        limit=lambda settings: settings.max_count,
        label=N_("Pictures"),
    ),
    Option(
        name="repeat",
        help=N_("How many requests like this one, with other seeds"),
        kind=OptionKind.WHOLE,
        kept=Nowhere(),
        flags=("repeat", "r"),
        example="3",
        noun=N_("number of requests"),
        least=1,
        limit=lambda settings: settings.max_requests,
    ),
    Option(
        name="quality",
        help=N_("draft is quick and small, and Enhance completes it; fine takes longer"),
        kind=OptionKind.NAME,
        kept=InQuality("quality"),
        flags=("quality",),
        bare={"draft": "draft"},
        wanted=N_("draft, standard or fine"),
        example="draft",
        choices=QUALITIES,
        cannot=_one_quality,
        label=N_("Quality"),
    ),
    Option(
        name="steps",
        help=N_("Denoising steps: more take longer"),
        kind=OptionKind.WHOLE,
        kept=Tuned("num_inference_steps", "has_steps"),
        flags=("steps",),
        example="20",
        noun=N_("number of steps"),
        least=1,
        limit=lambda settings: settings.max_steps,
        is_of_model=True,
        label=N_("Steps"),
        key="Steps",
    ),
    Option(
        name="sampler",
        help=N_("How the noise is taken away, step by step: one of the model's samplers"),
        kind=OptionKind.NAME,
        kept=SamplerField("scheduler"),
        flags=("sampler",),
        wanted=N_("a sampler's name"),
        example="euler_a",
        suggest=_samplers,
        is_of_model=True,
        label=N_("Sampler"),
        key="Sampler",
    ),
    Option(
        name="guidance",
        noun=N_("guidance"),
        help=N_("How closely the picture follows the prompt"),
        kind=OptionKind.NUMBER,
        kept=Tuned("guidance_scale", "has_guidance"),
        flags=("guidance",),
        example="5",
        least=0,
        most=30,
        is_of_model=True,
        label=N_("Guidance"),
        key="CFG scale",
    ),
    Option(
        name="seed",
        noun=N_("seed"),
        help=N_("The same request with the same seed gives the same picture"),
        kind=OptionKind.WHOLE,
        kept=Seed("seed"),
        flags=("seed",),
        wanted=N_("a whole number of at most 20 digits"),
        example="7",
        least=0,
        most=SEEDS - 1,
        label=N_("Seed"),
        key="Seed",
    ),
    Option(
        name="size",
        help=N_("Width and height in pixels"),
        kind=OptionKind.SIZE,
        kept=Size(),
        in_command=False,
        example="512x768",
        is_of_model=True,
        label=N_("Size"),
        key="Size",
    ),
    Option(
        name="style",
        help=N_("A preset: text that is added to your prompt"),
        kind=OptionKind.NAME,
        kept=InJob("style"),
        flags=("style",),
        wanted=N_("a style's name"),
        example="watercolor",
        suggest=_styles,
        label=N_("Style"),
        key="Style",
    ),
    Option(
        name="model",
        help=N_("Which model paints"),
        kind=OptionKind.NAME,
        kept=InRequest("model"),
        flags=("model",),
        wanted=N_("a model's name"),
        example="doodle",
        suggest=_models,
        label=N_("Model"),
        key="Model",
    ),
    Option(
        name="lora",
        help=N_("LoRAs of the model, perhaps with weights: ink, ink:0.7, or two: ink:0.7,gold"),
        kind=OptionKind.NAME,
        kept=Lora(),
        flags=("lora",),
        wanted=N_("a LoRA's name"),
        example="ink:0.7",
        suggest=_loras,
        is_of_model=True,
        label=N_("LoRA"),
        key="LoRA",
    ),
    Option(
        name="image",
        help=N_("A picture to start from: PNG, JPEG, WebP, GIF or BMP"),
        kind=OptionKind.PICTURE,
        kept=InRequest("init_image"),
        cannot=_no_start,
    ),
    Option(
        name="link",
        help=N_("Or the link of a message with a picture to start from, and perhaps the picture's number"),
        kind=OptionKind.LINK,
        kept=Nowhere(),
    ),
    Option(
        name="strength",
        noun=N_("strength"),
        help=N_("How much of that picture may change, up to 1"),
        kind=OptionKind.NUMBER,
        kept=InRequest("strength"),
        flags=("strength",),
        example="0.6",
        least=LEAST_STRENGTH,
        most=1,
        label=N_("Strength"),
        key="Denoising strength",
    ),
    Option(
        name="sref",
        help=N_("A picture whose style is taken; as a flag one of mine, such as 12-1"),
        kind=OptionKind.PICTURE,
        kept=InReferences(Role.STYLE),
        flags=("sref",),
        example="12-1",
        cannot=_no_style,
        is_of_model=True,
    ),
    Option(
        name="sw",
        noun=N_("weight of the style reference"),
        help=N_("How much the style reference counts, up to 1"),
        kind=OptionKind.NUMBER,
        kept=ReferenceWeight(Role.STYLE),
        flags=("sw",),
        in_command=False,
        example="0.6",
        least=LEAST_WEIGHT,
        most=1,
        is_of_model=True,
        label=N_("Weight of the style reference"),
        key="Style reference weight",
    ),
    Option(
        name="cref",
        help=N_("A picture whose subject is taken; as a flag one of mine, such as 12-1"),
        kind=OptionKind.PICTURE,
        kept=InReferences(Role.SUBJECT),
        flags=("cref",),
        example="12-1",
        cannot=_no_subject,
        is_of_model=True,
    ),
    Option(
        name="cw",
        noun=N_("weight of the subject reference"),
        help=N_("How much the subject reference counts, up to 1"),
        kind=OptionKind.NUMBER,
        kept=ReferenceWeight(Role.SUBJECT),
        flags=("cw",),
        in_command=False,
        example="0.6",
        least=LEAST_WEIGHT,
        most=1,
        is_of_model=True,
        label=N_("Weight of the subject reference"),
        key="Subject reference weight",
    ),
    Option(
        name="blend",
        help=N_("Two to five pictures whose subjects are blended"),
        kind=OptionKind.PICTURE,
        kept=InReferences(Role.BLEND),
        in_command=False,
        most_pictures=MOST_OF_ROLE,
        cannot=_no_blend,
        is_of_model=True,
    ),
    Option(
        name="control",
        help=N_("A picture that the composition follows; as a flag one of mine, such as 12-1"),
        kind=OptionKind.PICTURE,
        kept=ControlPictures(),
        flags=("control",),
        example="12-1",
        most_pictures=2,
        cannot=_no_control,
        is_of_model=True,
    ),
    Option(
        name="controls",
        help=N_("What is followed: edges, sketch, canny, depth, scribble, pose; weight and steps: edges:0.8:0-0.6"),
        kind=OptionKind.NAME,
        kept=Controls(),
        flags=("controls",),
        wanted=N_("kinds of control"),
        example="edges:0.8",
        suggest=_controls,
        is_of_model=True,
        label=N_("Control pictures"),
        key="ControlNet",
    ),
    Option(
        name="tile",
        help=N_("A picture whose opposite edges continue each other, as for a pattern"),
        kind=OptionKind.NAME,
        kept=Switch("tile"),
        bare={"tile": "on"},
        in_command=False,
        wanted=N_("on"),
        example="on",
        choices=("on",),
        cannot=_no_tiles,
        is_of_model=True,
        label=N_("Tile"),
        key="Tiling",
    ),
    Option(
        name="upscale",
        noun=N_("upscale"),
        help=N_("How many times as wide and high the finished pictures are"),
        kind=OptionKind.WHOLE,
        kept=InFinish("upscale"),
        flags=("upscale",),
        example="2",
        least=1,
        most=MOST_UPSCALE,
        label=N_("Upscale"),
    ),
    Option(
        name="crop",
        help=N_("The aspect ratio that is cut out of the middle of the finished pictures"),
        kind=OptionKind.RATIO,
        kept=InFinish("crop"),
        flags=("crop",),
        in_command=False,
        example="3:2",
        label=N_("Crop"),
    ),
    Option(
        name="resize",
        help=N_("Width and height of the finished pictures in pixels"),
        kind=OptionKind.SIZE,
        kept=InFinish("resize"),
        flags=("resize",),
        in_command=False,
        example="640x480",
        label=N_("Resize"),
    ),
    Option(
        name="colour",
        noun=N_("colour"),
        help=N_("How colourful the finished pictures are: 0 is grey, 1 as painted"),
        kind=OptionKind.NUMBER,
        kept=InFinish("colour"),
        flags=("colour",),
        in_command=False,
        example="1.2",
        least=0,
        most=3,
        label=N_("Colour"),
    ),
    Option(
        name="sharpen",
        help=N_("How sharp the finished pictures are: 1 is as painted"),
        kind=OptionKind.NUMBER,
        kept=InFinish("sharpness"),
        flags=("sharpen",),
        in_command=False,
        example="1.5",
        noun=N_("sharpness"),
        least=0,
        most=5,
        label=N_("Sharpness"),
    ),
    Option(
        name="expand",
        help=N_("Let a language model add details; preview shows them to you first"),
        kind=OptionKind.NAME,
        kept=InJob("expand"),
        flags=("expand",),
        bare={"raw": "off"},
        wanted=N_("on, off or preview"),
        example="preview",
        choices=EXPAND,
        label=N_("Expand"),
    ),
    Option(
        name="private",
        help=N_("Show the answer to you alone: here, or in a direct message if it takes long"),
        kind=OptionKind.NAME,
        kept=Private("is_private"),
        bare={"private": "on"},
        wanted=N_("on"),
        example="on",
        choices=("on",),
        label=N_("Private"),
    ),
)
"""All options in the order of their display; PNG parameters use the same order."""


def by_name() -> dict[str, Option]:
    """All options by their names."""
    return {option.name: option for option in OPTIONS}


def values(job: Job | NewJob, request: GenerationRequest) -> dict[str, Any]:
    """A request's options by name, without unused ones."""
    found = {option.name: option.kept.get(job, request) for option in OPTIONS}
    return {name: value for name, value in found.items() if value not in (None, "")}
