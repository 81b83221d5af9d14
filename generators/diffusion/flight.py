"""A request in flight: a call of the stock pipeline, suspended wherever it needs a large model's output."""

# pyright: basic

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Hashable
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from greenlet import greenlet
from torch import Tensor, nn

from limner.generators.base import WordMap, WorkDone
from limner.generators.cards.skip_rules import SkipRule
from limner.generators.diffusion.attention_maps import AttentionMaps
from limner.generators.diffusion.blending import BlendedNoise
from limner.generators.diffusion.guided_steps import GuidedSteps, twice
from limner.generators.diffusion.preview import Watch
from limner.generators.diffusion.shared_parts import Shared
from limner.generators.diffusion.stacked_calls import Call, Rows
from limner.generators.diffusion.step_skipping import StepSkipping
from limner.generators.errors import BadRequest, GenerationError, NotNumbers
from limner.generators.failures import understand
from limner.generators.requests import GenerationRequest
from limner.generators.sentences import sentence

if TYPE_CHECKING:
    from PIL import Image


WORDS = (
    *("encoder_hidden_states", "pooled_projections", "added_cond_kwargs", "txt_ids", "cap_feats"),
    *("encoder_hidden_states_mask", "encoder_attention_mask", "attention_mask", "text_rope_pos"),
)
"""Arguments of denoisers that come from the prompts."""
OWN_FRAMES = 64
"""Torch reads at most so many frames of the stack where it makes an error (c10/util/Backtrace.h). Below those of a
greenlet lie its caller's, which have changed when it goes on, and reading them ends the process: it has enough of its
own."""


class Flight:
    """A request painted by diffusers' own loop, in a greenlet of its own.

    The loop runs until it calls the denoiser or decodes; that call is then in ``waiting``, and the loop continues when
    `answer` brings the result. So many loops share one call, and each still is the stock one, with its own scheduler,
    timesteps, guidance and random numbers. It ends with ``images`` or ``error``. All calls come from one thread.

    Args:
        key: the caller's key.
        request: the request.
        pipe: the stock pipeline; it is copied, its models are not.
        scheduler: one that is not shared.
        arguments: of the pipeline's call.
        loras: what is attached to the text encoders.
        maps: where the words of its prompt draw is added to these.

    Raises:
        ValueError: the pipeline refuses the arguments.
    """

    def __init__(
        self,
        key: str,
        request: GenerationRequest,
        shared: Shared,
        scheduler: Any,
        arguments: dict[str, Any],
        *,
        loras: Hashable = (),
        maps: AttentionMaps | None = None,
    ) -> None:
        self.key = key
        self.request = request
        self.admitted = time.perf_counter()
        self.busy = 0.0
        self.step = 0
        self.passed_over = 0
        self.stop_after = request.stop_after
        self.watch = Watch(scheduler)
        self.waiting: Call | None = None
        #: The call of all rows, of which ``waiting`` leaves some out; None where it never does.
        self.full: Call | None = None
        self.images: list[Image.Image] | None = None
        self.error: GenerationError | None = None
        self._steering: list[tuple[int, dict[str, Any]]] = []
        self._maps: list[tuple[int, AttentionMaps]] = [(0, maps)] if maps else []
        self._skipping = _skipping(request)
        self._guided = _guided(request, shared)
        self._is_unguided = False  # whether guidance adds nothing in the present step
        self._turn = -1  # how many calls of the denoiser the present step had before the waiting one
        self._last: Rows = []  # the denoiser's last output, for all rows
        self._final: Tensor | None = None  # what an early end decodes
        self._asked: Call | None = None  # that of which step skipping leaves out pictures
        self._noise = BlendedNoise(request.between.noises) if request.between else nullcontext()
        self._pipe = shared.own(scheduler, loras)
        # Without the no_grad decorator: suspended flights would restore the gradient mode in the wrong order.
        self._loop = greenlet(partial(_beneath, OWN_FRAMES, inspect.unwrap(type(self._pipe).__call__)))
        reads = {}
        if shared.tells_steps:
            reads = {"callback_on_step_end": self._note, "callback_on_step_end_tensor_inputs": shared.noted}
        else:
            self.watch.after = self._note_latents
        encoded, cached = shared.prompts.encoded, shared.prompts.cached
        self._went_on(self._go_on(self._pipe, **arguments, **reads))
        self._prompts = shared.prompts.encoded - encoded, shared.prompts.cached - cached
        self.busy = time.perf_counter() - self.admitted

    @property
    def steps(self) -> int:
        """How many steps its loop takes; a picture to start from saves some, a scheduler of second order adds some."""
        return min(self._all_steps, self.stop_after or self._all_steps)

    @property
    def _all_steps(self) -> int:
        """The steps of its loop, whether it ends early or not."""
        return getattr(self._pipe, "num_timesteps", None) or self.watch.steps

    @property
    def work(self) -> WorkDone:
        """What it has taken so far."""
        skipped = self._skipping.skipped if self._skipping else 0
        return WorkDone(*self._prompts, self.step * self.request.num_images_per_prompt - skipped, skipped)

    @property
    def pixels_left(self) -> int:
        """Work left: pixels times steps."""
        return self.request.pixels * (self.steps - self.step)

    @property
    def decoding(self) -> bool:
        """Whether only the decoding is left."""
        return self.step == self.steps

    @property
    def in_step(self) -> bool:
        """Whether it waits for another call of the step that it has begun: some families have one for each prompt."""
        return self.waiting is not None and self._turn > 0 and not self.decoding

    @property
    def words(self) -> dict[str, Any]:
        """The encoded prompts, as its waiting call of the denoiser has them."""
        call = self.full or self.waiting
        given = call.kwargs if call else {}
        return {name: given[name] for name in WORDS if name in given}

    @property
    def word_maps(self) -> tuple[WordMap, ...]:
        """Where the words drew so far, in the order of their prompts."""
        return tuple(one for step, maps in self._maps for one in maps.found(step))

    def steer(self, step: int, words: dict[str, Any], maps: AttentionMaps | None = None) -> None:
        """Denoise from these `words` once ``step`` steps are taken; where they draw is added to ``maps``.

        In families with a call for each prompt, that of the negative one stays.
        """
        self._steering.append((step, words))
        if maps:
            self._maps.append((step, maps))
        if self.waiting is not None:
            self.waiting = self._thinned(self._steered(self._observed(self.full or self.waiting)))

    def take(self) -> Call | None:
        """The calls that the loop waits for; the caller must answer them."""
        call, self.waiting = self.waiting, None
        return call

    def answer(self, result: Rows | GenerationError) -> None:
        """Give the loop the result that it waits for, or the error to end with."""
        try:
            if not isinstance(result, GenerationError) and not _finite(result):
                result = NotNumbers.blaming(self.request, _precision(result))
            if isinstance(result, GenerationError):
                self._went_on(self._loop.throw(result))
            else:
                self._went_on(self._answered(result))
        except Exception as error:
            self.error = understand(error)

    def stop(self) -> None:
        """End the loop at its current point."""
        self._loop.throw()

    def _note(self, pipe: Any, step: int, _time: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        self._turn = -1
        self.step = min(step + 1, self.steps)
        if self.step < self.steps or self.steps == self._all_steps:
            return {}
        pipe._interrupt = True  # most loops skip their other steps; those of the others change nothing
        self._final = self._clean(*tensors.values()) if self._final is None else self._final
        return {"latents": self._final}

    def _note_latents(self, latents: Tensor) -> Tensor:
        return self._note(self._pipe, self.step, None, {"latents": latents}).get("latents", latents)

    def _clean(self, latents: Tensor, *blended: Tensor) -> Tensor:
        """The latents that the denoiser predicts; outside a mask those of the picture to start from."""
        predicted = self.watch.denoised()
        clean = latents if predicted is None else predicted
        if not blended:
            return clean
        mask, picture = blended
        return (1 - mask) * picture + mask * clean

    def _observed(self, call: Call) -> Call:
        """The call with the maps of the present step's words, for the first picture; decoding has none."""
        maps = [maps for step, maps in self._maps if step <= self.step]
        if not maps or WORDS[0] not in call.kwargs or call.is_control:
            return call
        return replace(call, watched={call.rows - self.request.num_images_per_prompt: maps[-1]})

    def _steered(self, call: Call) -> Call:
        """The call with the words of the present step, if the prompt was changed; decoding has none."""
        words = [words for step, words in self._steering if step <= self.step]
        if not words or self.decoding or self._turn > 0:
            return call
        # Some of SD3's ControlNets are given no words, or zeros in the place of the pooled ones.
        read = {name: value for name, value in words[-1].items() if not call.is_control or _says(call.kwargs.get(name))}
        return replace(call, kwargs=_joined(call.kwargs, read))

    def _thinned(self, call: Call) -> Call | None:
        """The call for the rows that are needed in this step; None if none is."""
        self.full = None
        if not (self._skipping or self._guided) or self.decoding or call.is_control:
            return call
        self.full = call
        if self._turn == 0:
            self._begin_step()
        if self._repeats:
            return None
        self._asked = call = self._guided.thin(call) if self._guided and self._is_unguided else call
        return self._skipping.thin(call, self.step, self.steps, self._turn) if self._skipping else call

    @property
    def _repeats(self) -> bool:
        """Whether it asks for the negative prompt where guidance adds nothing: the prompt's output stands in."""
        return self._is_unguided and self._turn > 0

    def _begin_step(self) -> None:
        """Decide whether the step has guidance; outputs of other rows, or for other words, are forgotten."""
        was_unguided = self._is_unguided
        self._is_unguided = bool(self._guided and self._guided.is_unguided(self.step, self.steps))
        is_other = was_unguided != self._is_unguided or any(step == self.step for step, _ in self._steering)
        if self._skipping and is_other:
            self._skipping.forget()

    def _completed(self, answer: Rows) -> Rows:
        """The answer for all rows."""
        if self.full is None or self._asked is None:
            return answer
        if self._repeats:
            return self._last
        if self._skipping:
            answer = self._skipping.complete(self._asked, answer, self._turn)
        return answer if self._asked is self.full else twice(answer)

    def _answered(self, result: Rows) -> Any:
        """Let the loop go on with the answer to the call that it waits for."""
        self._last = self._completed(result)
        return self._go_on(_Answer((self._last,)))

    def _go_on(self, *answer: Any, **arguments: Any) -> Any:
        """Let the loop run to its next call, which is returned, or to its end."""
        with self._noise:
            return self._loop.switch(*answer, **arguments)

    def _went_on(self, result: Any) -> None:
        while isinstance(result, Call):
            self._turn += not result.is_control
            if self._final is not None and isinstance(result.model, nn.Module):
                result = self._go_on(_Answer((self._last,)))
                continue
            self.waiting = self._thinned(self._steered(self._observed(result)))
            if self.waiting is not None:
                return
            result = self._answered([])
        if any(getattr(result, "nsfw_content_detected", None) or ()):
            raise BadRequest(
                sentence("The model's own safety check held this picture back; change the words or the seed.")
            )
        else:
            self.images = result.image if "image" in result else result.images  # Kandinsky 5's are called so


class _Answer(tuple[Rows]):
    """A model's output as a tuple, which most loops ask for, and by name, as Kandinsky 5 does."""

    @property
    def sample(self) -> Rows:
        return self[0]


def _skipping(request: GenerationRequest) -> StepSkipping | None:
    """None for a request with control pictures too, since a ControlNet answers before the denoiser is asked."""
    if request.skipping in (None, SkipRule.OFF) or request.controls:
        return None
    return StepSkipping(request.skipping, request.num_images_per_prompt)


def _guided(request: GenerationRequest, shared: Shared) -> GuidedSteps | None:
    return GuidedSteps(request.guided, request.num_images_per_prompt, shared.prompt_first) if request.guided else None


def _says(words: Any) -> bool:
    return words is not None and not (isinstance(words, Tensor) and not words.any())


def _joined(arguments: dict[str, Any], words: dict[str, Any]) -> dict[str, Any]:
    """A call's arguments with other words; conditions that no prompt says, such as pictures, stay."""
    said = {name: value for name, value in words.items() if value is not None}
    more = {name: {**arguments[name], **value} for name, value in said.items() if isinstance(value, dict)}
    return arguments | said | more


def _precision(result: Any) -> str:
    return _precision(result[0]) if isinstance(result, list) else str(result.dtype).removeprefix("torch.")


def _finite(result: Any) -> bool:
    if isinstance(result, list):
        return all(map(_finite, result))
    return result is None or bool(torch.isfinite(result).all())


def _beneath(frames: int, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call the function beneath so many frames of the C stack, or more: Python alone would share one."""
    if not frames:
        return function(*args, **kwargs)
    return next(_beneath(below, function, *args, **kwargs) for below in (frames - 1,))
