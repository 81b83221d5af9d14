"""Where a request stores what its model has on offer: a sampler, a quality, LoRAs."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, Any

from limner.bot.errors import BadOption
from limner.bot.limits import named, some
from limner.bot.options.fields import InRequest, with_request
from limner.bot.translation import N_, _, commas
from limner.generators.cards.guided_part import read_part, write_part
from limner.generators.cards.model_card import ModelCard
from limner.generators.cards.qualities import STANDARD, Quality, quality
from limner.generators.requests import SEEDS, GenerationRequest
from limner.generators.style_mix import MOST_SIDE, StyleMix

if TYPE_CHECKING:
    from limner.bot.queue.enqueue import NewJob
    from limner.bot.settings import Settings
    from limner.bot.storage.tables.models import Job

MAX_LORA_WEIGHT = 2
MOST_LORAS = 5
"""LoRAs of one request."""
_NEXT_LORA = re.compile(r"[,，、](?!\d{1,3}\s*(?:$|[,，、]))")
"""A comma between two LoRAs, not the decimal comma of a weight."""
NO_LORAS = N_("The model {model} takes no LoRA; ask again without one.")
GONE_LORA = N_(
    "The LoRA {name} of that request is not there any more; choose Reuse settings in the menu of its message (Apps), "
    "and leave the LoRA out."
)


class Mix(InRequest):
    """Where the fine layers take their style from: SEED, ROWSxCOLUMNS or words, perhaps with @LAYER."""

    def get(self, job: Job | NewJob, request: GenerationRequest) -> str:
        """As a member types it."""
        return request.mix.write() if request.mix else ""

    def put(self, new: NewJob, value: Any, settings: Settings) -> NewJob:
        """The mix in the model's middle if no layer is given."""
        card = settings.cards[new.request.model]
        mix = StyleMix.read(value, card.style_layers // 2)
        if card.style_layers and not 0 < mix.layer < card.style_layers:
            raise BadOption(
                _(
                    "The model {model} mixes after layer 1 to {most}; write one of these behind the @.",
                    model=card.name,
                    most=card.style_layers - 1,
                )
            )
        if mix.grid and not all(0 < side <= MOST_SIDE for side in mix.grid):
            raise BadOption(_("A grid of mixes has 1 to {most} rows and columns, such as 3x4.", most=MOST_SIDE))
        has_one = bool(mix.grid or mix.prompt) or mix.seed is not None
        if not has_one or (mix.seed or 0) >= SEEDS or len(mix.prompt) > settings.max_prompt_length:
            raise BadOption(
                _(
                    "The option mix needs a seed below {seeds}, a grid such as 3x4, or words of at most {most} "
                    "characters.",
                    seeds=SEEDS,
                    most=settings.max_prompt_length,
                )
            )
        return with_request(new, mix=mix)


class SamplerField(InRequest):
    """One of the model's samplers, by its name here or in other programs: DPM++ 2M Karras."""

    def put(self, new: NewJob, value: Any, settings: Settings) -> NewJob:
        """The sampler with that name."""
        card = settings.cards[new.request.model]
        name = "_".join(re.split(r"[\s_-]+", value.casefold().replace("++", "pp")))
        if not card.samplers:
            raise BadOption(
                _("The model {model} paints with its own sampler only; leave out the option sampler.", model=card.name)
            )
        if name not in card.samplers:
            close = difflib.get_close_matches(name[:64], card.samplers, n=1)
            nearest = _("what comes nearest is {name}; ", name=close[0]) if close else ""
            raise BadOption(
                _(
                    "The model {model} has no sampler of that name; {nearest}choose one of: {names}.",
                    model=card.name,
                    nearest=nearest,
                    names=commas(card.samplers),
                )
            )
        return super().put(new, name, settings)


class InQuality(InRequest):
    """A quality: the model's steps, size and sampler for it; `Aspect` comes before, and what is chosen singly after."""

    def get(self, job: Job | NewJob, request: GenerationRequest) -> str | None:
        """The quality, if it is not the standard one."""
        return None if request.quality == STANDARD else request.quality

    def put(self, new: NewJob, value: Any, settings: Settings) -> NewJob:
        """The quality's steps, scaled size, sampler, guidance and LoRA, in place of those of the quality before."""
        card, request = settings.cards[new.request.model], new.request
        before, meant = painted_in(card, request), quality(card, value)
        width, height = (
            max(1, round(side * meant.scale / card.multiple_of)) * card.multiple_of for side in request.size
        )
        steps = min(meant.num_inference_steps, settings.max_steps)
        sides = {"width": width, "height": height} if meant.scale != 1 else {}
        own = before.guidance_scale is not None or meant.guidance_scale is not None
        guidance = (card.guidance_scale if meant.guidance_scale is None else meant.guidance_scale) if own else None
        more = sides if guidance is None else {**sides, "guidance_scale": guidance}
        loras = _with_few_steps(tuple(one for one in request.loras if one[0] != before.lora), meant.lora)
        chosen = {"scheduler": meant.scheduler, "skipping": meant.skipping, "guided": meant.guided}
        meant_by_it = {**chosen, "loras": loras, **more}
        return with_request(new, quality=value, num_inference_steps=steps, **meant_by_it)


class Guided(InRequest):
    """The part of the steps in which guidance counts, written as 0.2-0.8."""

    def get(self, job: Job | NewJob, request: GenerationRequest) -> str:
        """Its written form; empty if guidance counts in all of them."""
        return write_part(request.guided) if request.guided else ""

    def put(self, new: NewJob, value: Any, settings: Settings) -> NewJob:
        """The part that is written."""
        if (part := read_part(value)) is None:
            raise BadOption(_("The option guided must be a part of the steps from 0 to 1, such as 0.2-0.8; change it."))
        return super().put(new, part, settings)


def painted_in(card: ModelCard, request: GenerationRequest) -> Quality:
    """How a request was painted in its quality, also if the LoRA for few steps was removed since."""
    return quality(card, request.quality, list(dict(request.loras)))


class Lora:
    """LoRAs with their weights, written as ink:0.7 or ink:0.7, gold."""

    def get(self, job: Job | NewJob, request: GenerationRequest) -> str:
        """The LoRAs in their written form."""
        return request.loras_text

    def put(self, new: NewJob, value: Any, settings: Settings) -> NewJob:
        """The model's LoRAs of these names, each with the weight 1 if none is written."""
        card = settings.cards[new.request.model]
        loras = tuple(_lora(card, part) for part in filter(None, map(str.strip, _NEXT_LORA.split(value))))
        if len(loras) > MOST_LORAS:
            raise BadOption(_("A picture takes at most {most} LoRAs; leave some out.", most=MOST_LORAS))
        if twice := next((name for name, _weight in loras if [one for one, _ in loras].count(name) > 1), None):
            raise BadOption(_("The LoRA {name} is named twice; name it once.", name=twice))
        return with_request(new, loras=_with_few_steps(loras, quality(card, new.request.quality).lora))


def _with_few_steps(loras: tuple[tuple[str, float], ...], name: str) -> tuple[tuple[str, float], ...]:
    """The LoRAs with the one of a quality, if it has one."""
    return loras if not name or name in dict(loras) else (*loras, (name, 1.0))


def check_loras(card: ModelCard, request: GenerationRequest) -> None:
    """Raise BadOption for LoRAs that the model does not have any more, or does not take together."""
    for name, _weight in request.loras:
        if name not in card.loras:
            raise BadOption(_(GONE_LORA, name=name) if card.takes_loras else _(NO_LORAS, model=card.name))
    if card.one_lora and len(request.loras) > 1:
        raise BadOption(_("The model {model} takes one LoRA at a time; leave the others out.", model=card.name))


def _lora(card: ModelCard, written: str) -> tuple[str, float]:
    """One LoRA of the model, with its weight."""
    name, colon, weight = written.rpartition(":") if ":" in written else (written, "", "")
    meant = named(name.strip(), card.loras)
    if meant is None:
        raise _no_lora(card, name.strip())
    if colon and not (re.fullmatch(r" *\d([.,]\d{1,3})? *", weight) and _number(weight) <= MAX_LORA_WEIGHT):
        raise BadOption(_("The weight of a LoRA must be from 0 to {most}, such as ink:0.7.", most=MAX_LORA_WEIGHT))
    return meant, _number(weight) if colon else 1.0


def _no_lora(card: ModelCard, name: str) -> BadOption:
    if not card.takes_loras:
        return BadOption(_(NO_LORAS, model=card.name))
    close = difflib.get_close_matches(name[:64], card.loras, n=1)
    if close:
        offered = _("what comes nearest is {name}", name=close[0])
    else:
        offered = _("choose one of: {names}", names=some(card.loras)) if card.loras else _("ask without one")
    return BadOption(_("The model {model} has no LoRA of that name; {offered}.", model=card.name, offered=offered))


def _number(text: str) -> float:
    """A number with a decimal point or comma."""
    return float(text.replace(",", "."))
