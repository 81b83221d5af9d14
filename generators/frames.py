"""Animations in progress: each frame is a request of its own, which shares batches with everybody else's."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from limner.generators.animation import SEPARATOR, Between, on_the_arc
from limner.generators.base import Event, Failed, Finished, ImageGenerator, Preview, Progress, WorkDone
from limner.generators.errors import BadRequest, GenerationError
from limner.generators.requests import SEEDS, GenerationRequest
from limner.generators.sentences import sentence

NOT_ANIMATED = sentence("This model cannot be animated; choose another one.")


class KeyPicture(NamedTuple):
    """A picture that an animation goes through."""

    prompt: str
    negative_prompt: str
    seed: int


def keys_of(request: GenerationRequest) -> list[KeyPicture]:
    """The keys of an animation, at least one."""
    prompts, negatives = request.prompt.split(SEPARATOR), request.negative_prompt.split(SEPARATOR)
    seeds = (request.animation and request.animation.seeds) or (request.seed,)
    count = max(len(prompts), len(negatives), len(seeds))
    columns = ([*some, *some[-1:] * (count - len(some))] for some in (prompts, negatives, seeds))
    return list(map(KeyPicture, *columns))


def frames_of(request: GenerationRequest) -> Iterator[GenerationRequest]:
    """A request for each frame of an animation; a frame at a key is the key's own picture."""
    animation, keys = request.animation, keys_of(request)
    if animation is None:
        return
    own = replace(request, animation=None)
    if len(keys) == 1:
        for noises in animation.circle(keys[0].seed, SEEDS):
            yield replace(own, seed=keys[0].seed, between=Between(noises) if noises[0][1] < 1 else None)
        return
    for first, second, share in animation.places(len(keys)):
        key, other = keys[first], keys[second]
        noises = on_the_arc(key.seed, other.seed, share)
        beside = Between(noises, other.prompt, other.negative_prompt, share) if share else None
        yield replace(own, **key._asdict(), between=beside)


class AnimationInProgress:
    """One animation: which of its frames wait, which are in flight, and which are painted."""

    def __init__(self, key: str, request: GenerationRequest) -> None:
        self.request = request
        #: Whether it has waited for room that others took; the next is its own.
        self.is_owed = False
        self._key = key
        self._started = time.perf_counter()
        self._frames = {f"{key}/{number}": frame for number, frame in enumerate(frames_of(request))}
        self._waiting = list(self._frames)
        self._steps = dict.fromkeys(self._frames, 0)
        self._finished: dict[str, Finished] = {}

    @property
    def in_flight(self) -> dict[str, GenerationRequest]:
        """The frames that the generator has, by their keys."""
        gone = {*self._waiting, *self._finished}
        return {key: frame for key, frame in self._frames.items() if key not in gone}

    def next_frames(self, worth: int) -> dict[str, GenerationRequest]:
        """Take so many of the waiting frames, or one."""
        if self.in_flight:
            return {}
        taken, self._waiting = self._waiting[: max(1, worth)], self._waiting[max(1, worth) :]
        return {key: self._frames[key] for key in taken}

    def heard(self, event: Event) -> Event:
        """What a frame's event means for the animation."""
        whole = self.request.num_inference_steps
        match event:
            case Preview():
                return Preview(self._key, event.image)
            case Failed():
                return Failed(self._key, event.error)
            case Progress():
                self._steps[event.key] = min(event.step, whole)
            case Finished():
                self._steps[event.key] = whole
                self._finished[event.key] = event
        if len(self._finished) == len(self._frames):
            return self._whole([self._finished[key] for key in self._frames])
        return Progress(self._key, sum(self._steps.values()), self.request.steps)

    def _whole(self, frames: Sequence[Finished]) -> Finished:
        return Finished(
            self._key,
            [image for frame in frames for image in frame.images],
            [seed for frame in frames for seed in frame.seeds],
            time.perf_counter() - self._started,
            sum(frame.busy_seconds for frame in frames),
            frames[0].unread,
            frames[0].unread_negative,
            work=WorkDone(*map(sum, zip(*(frame.work for frame in frames), strict=True))),
        )


class Animator:
    """A generator that paints animations too, frame by frame; its other requests are not touched.

    Frames are admitted when all before them are painted: as many at once as save time together and leave room for
    another request, or one. Where others have taken all the room, the next one is the animation's, so it takes turns
    with them.
    """

    def __init__(self, generator: ImageGenerator) -> None:
        self._generator = generator
        self._in_flight: dict[str, tuple[str, int]] = {}  # what the generator has: of which request, and its pixels
        self._animations: dict[str, AnimationInProgress] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._generator, name)  # what only some generators can: move, change

    @property
    def is_idle(self) -> bool:
        """Whether its animations wait for room that is promised to others, and nothing is in flight."""
        return not self._in_flight

    def admit(self, key: str, request: GenerationRequest) -> None:
        """Add a request, or an animation with its first frame; raises GenerationError."""
        if request.animation is None:
            self._take(key, key, request)
            return
        if not getattr(self._generator, "blends", False):
            raise BadRequest(NOT_ANIMATED)
        animation = AnimationInProgress(key, request)
        for name, frame in animation.next_frames(1).items():
            self._take(key, name, frame)
        self._animations[key] = animation

    def step(self, reserved: int = 0) -> list[Event]:
        """Take one step for all that is in flight.

        ``reserved`` are pixels that are promised to requests which come next: no frame takes them.
        """
        failed = [event for key in list(self._animations) for event in self._feed(key, reserved)]
        return [*failed, *(told for event in self._generator.step() for told in self._heard(event))]

    def evict(self, key: str) -> None:
        """Drop a request now; unknown keys are ignored."""
        animation = self._animations.pop(key, None)
        for name in animation.in_flight if animation else (key,):
            self._in_flight.pop(name, None)
            self._generator.evict(name)

    def capacity(self) -> int:
        """How many more pixels fit beside what is in flight and owed to animations."""
        owed = sum(animation.request.pixels for animation in self._animations.values() if animation.is_owed)
        return max(0, self._generator.capacity() - owed)

    def together(self) -> int:
        """How many pixels are worth painting at once."""
        return self._generator.together()

    def close(self) -> None:
        """Free the device."""
        self._generator.close()

    def _take(self, key: str, name: str, request: GenerationRequest) -> None:
        """Give the generator the request ``key``, or one of its frames, under a name."""
        self._generator.admit(name, request)
        self._in_flight[name] = key, request.pixels

    def _feed(self, key: str, reserved: int) -> Iterator[Failed]:
        """Admit an animation's next frames if there is room for them."""
        animation = self._animations[key]
        if animation.in_flight:
            return
        pixels, room = animation.request.pixels, self._generator.capacity() - reserved
        animation.is_owed = room < pixels and bool(self._in_flight or reserved)
        if animation.is_owed:
            return
        painting = sum(pixels for _key, pixels in self._in_flight.values())
        spare = min(self._generator.together() - painting, room - pixels)
        try:
            for name, frame in animation.next_frames(spare // pixels).items():
                self._take(key, name, frame)
        except GenerationError as error:
            self.evict(key)
            yield Failed(key, error)

    def _heard(self, event: Event) -> Iterator[Event]:
        """What an event of the generator means for the requests; a failed frame ends its animation."""
        key = self._in_flight[event.key][0] if event.key in self._in_flight else event.key
        if isinstance(event, Finished | Failed):
            self._in_flight.pop(event.key, None)
        if key == event.key:
            yield event
        elif animation := self._animations.get(key):
            told = animation.heard(event)
            if isinstance(told, Finished | Failed):
                self.evict(key)
            yield told
