"""Several requests from one prompt, by choices in braces and by --repeat."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from limner.bot.errors import BadPrompt
from limner.bot.options.ask import Ask, read
from limner.bot.options.declarations import by_name
from limner.bot.options.flags import clean, parse_prompt, too_long
from limner.bot.options.permutations import TOO_MANY, prompts
from limner.bot.queue.enqueue import NewJob
from limner.bot.translation import _
from limner.generators.requests import SEEDS

if TYPE_CHECKING:
    from limner.bot.app import App


def read_each(app: App, ask: Ask) -> list[NewJob]:
    """Every request that a prompt makes, in order; repeated ones have the seeds that follow.

    Raises:
        UserError: as `read`; BadPrompt for more requests than the settings allow, before any is read.
    """
    settings = app.settings
    too_long(clean(ask.text), settings.max_prompt_length)
    asks = [replace(ask, text=text) for text in prompts(ask.text, settings.max_requests)]
    repeats = [_repeat(app, one) for one in asks]
    if sum(repeats) > settings.max_requests:
        raise BadPrompt(_(TOO_MANY, number=sum(repeats), most=settings.max_requests))
    return [
        _later(new, turn)
        for new, repeat in zip([read(app, one) for one in asks], repeats, strict=True)
        for turn in range(repeat)
    ]


def _repeat(app: App, ask: Ask) -> int:
    """How often a prompt is painted."""
    option, settings = by_name()["repeat"], app.settings
    flags = parse_prompt(ask.text, max_length=settings.max_prompt_length).options
    number = flags.get(option.name, option.read(ask.options.get(option.name, 1)))
    if number is None:
        return 1
    option.check(number, settings, settings.default_card)
    return number


def _later(new: NewJob, turn: int) -> NewJob:
    """The request with the seeds after those of ``turn`` earlier ones."""
    request = new.request
    if turn == 0:
        return new
    seed = (request.seed + turn * request.num_images_per_prompt) % SEEDS
    return replace(new, request=replace(request, seed=seed))
