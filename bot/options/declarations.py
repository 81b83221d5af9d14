"""The options of /imagine, each declared once for commands, flags, forms, remix, details, PNG files and docs."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from limner.bot.options import suggestions, unsupported
from limner.bot.options.fields import Count, InJob, InRequest, Negative, Nowhere, Private, Refine, Seed, Switch, Tuned
from limner.bot.options.finish_options import FINISH_OPTIONS
from limner.bot.options.model_fields import Guided, InQuality, Lora, Mix, SamplerField
from limner.bot.options.option import Option, OptionKind
from limner.bot.options.picture_options import PICTURE_OPTIONS
from limner.bot.options.size_fields import Aspect, Size
from limner.bot.translation import N_
from limner.generators.cards.qualities import QUALITIES
from limner.generators.cards.skip_rules import SkipRule
from limner.generators.requests import SEEDS, GenerationRequest

if TYPE_CHECKING:
    from limner.bot.queue.enqueue import NewJob
    from limner.bot.storage.tables.models import Job

PROMPT = N_("What you want to see")
ASPECTS = ("1:1", "3:2", "2:3", "16:9", "9:16")
EXPAND = ("on", "off", "preview")
MOST_ROUNDS = 4

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
        cannot=unsupported.quality,
        label=N_("Quality"),
    ),
    Option(
        name="refine",
        help=N_("Rounds in which it is painted again for what the image-text model misses in the picture"),
        kind=OptionKind.WHOLE,
        kept=Refine("refine"),
        flags=("refine",),
        in_command=False,  # Discord gives a command at most 25 options
        example="2",
        noun=N_("number of rounds"),
        least=0,
        most=MOST_ROUNDS,
        cannot=unsupported.refining,
        label=N_("Refine"),
        key="Refine",
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
        suggest=suggestions.samplers,
        is_of_model=True,
        label=N_("Sampler"),
        key="Sampler",
    ),
    Option(
        name="skipping",
        help=N_("Leave out steps that change little, as TeaCache or MagCache do: quicker, and nearly the same picture"),
        kind=OptionKind.NAME,
        kept=InRequest("skipping"),
        flags=("skipping",),
        in_command=False,
        wanted=N_("off, teacache or magcache"),
        example="teacache",
        choices=tuple(SkipRule),
        cannot=unsupported.skipping,
        is_of_model=True,
        label=N_("Step skipping"),
        key="Step skipping",
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
        name="guided",
        help=N_("The part of the steps in which guidance counts: the others are quicker"),
        kind=OptionKind.NAME,
        kept=Guided("guided"),
        flags=("guided",),
        in_command=False,
        wanted=N_("a part of the steps, such as 0.2-0.8"),
        example="0.2-0.8",
        cannot=unsupported.guided,
        is_of_model=True,
        label=N_("Guided steps"),
        key="Guided steps",
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
        suggest=suggestions.styles,
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
        suggest=suggestions.models,
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
        suggest=suggestions.loras,
        is_of_model=True,
        label=N_("LoRA"),
        key="LoRA",
    ),
    Option(
        name="mix",
        help=N_("Fine layers from another seed, words, or a grid such as 3x4 of many; @2 says after which layer"),
        kind=OptionKind.WORDS,
        kept=Mix("mix"),
        flags=("mix",),
        in_command=False,  # Discord gives a command at most 25 options
        wanted=N_("a seed, a grid or words"),
        example="7@2",
        cannot=unsupported.mixing,
        is_of_model=True,
        label=N_("Style mix"),
        key="Style mix",
    ),
    *PICTURE_OPTIONS,
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
        cannot=unsupported.tiles,
        is_of_model=True,
        label=N_("Tile"),
        key="Tiling",
    ),
    *FINISH_OPTIONS,
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


@cache
def by_name() -> Mapping[str, Option]:
    """All options by their names."""
    return {option.name: option for option in OPTIONS}


def values(job: Job | NewJob, request: GenerationRequest) -> dict[str, Any]:
    """A request's options by name, without unused ones."""
    found = {option.name: option.kept.get(job, request) for option in OPTIONS}
    return {name: value for name, value in found.items() if value not in (None, "")}
