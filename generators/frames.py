"""Animations in progress: each frame is a request of its own, which shares batches with everybody else's."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from PIL import Image

from limner.generators.animation import SEPARATOR, Animation, Between, on_the_arc, on_the_circle
from limner.generators.base import Event, Failed, Finished, ImageGenerator, Preview, Progress, WorkDone
from limner.generators.errors import BadRequest, GenerationError, error_site
from limner.generators.image_files import as_address, encode_png
from limner.generators.requests import SEEDS, GenerationRequest
from limner.generators.sentences import sentence
from limner.generators.walks import Look, pixels, rounds

log = logging.getLogger(__name__)

REPAINTED = 0.4
"""How much of the cross-fade over a jump is painted anew."""
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


def frame_at(request: GenerationRequest, distance: float) -> GenerationRequest:
    """The frame at a distance from the first key, with 1 between two keys or around one; at a key it is its picture."""
    keys, (whole, share) = keys_of(request), divmod(distance, 1)
    key, other = keys[int(whole) % len(keys)], keys[(int(whole) + 1) % len(keys)]
    own = replace(request, animation=None, **key._asdict())
    if not share:
        return own
    if len(keys) == 1:
        return replace(own, between=Between(on_the_circle(key.seed, SEEDS, share)))
    noises = on_the_arc(key.seed, other.seed, share)
    return replace(own, between=Between(noises, other.prompt, other.negative_prompt, share))


def planned(
    request: GenerationRequest,
    animation: Animation,
    painted: Mapping[float, Image.Image],
    looks: Mapping[float, Sequence[float]],
    *,
    bridges: bool,
) -> Iterator[dict[float, GenerationRequest]]:
    """An animation's frames by their places, in rounds.

    ``painted`` has the pictures of all rounds before, and ``looks`` what they look like.
    """
    keys = keys_of(request)
    can_bridge = bridges and request.num_inference_steps > 1 and not request.is_from_picture
    least = 1 / request.num_inference_steps
    ways = animation.ways(len(keys))
    for places in rounds(animation.frames, ways, looks, swings=animation.swings, bridges=can_bridge):
        frames = {place.distance: frame_at(request, place.distance) for place in places}
        for distance, bridge in places:
            if bridge:
                faded = Image.blend(painted[bridge.start], painted[bridge.end], bridge.share)
                strength = least if bridge.is_bare else max(REPAINTED, least)
                frames[distance] = replace(
                    frames[distance], init_image=as_address(encode_png(faded)), strength=strength
                )
        yield frames


class AnimationInProgress:
    """One animation: which of its frames wait, which are in flight, and which are painted.

    With ``bridges`` the model can start from a picture.
    """

    def __init__(
        self, key: str, request: GenerationRequest, animation: Animation, look: Look, *, bridges: bool
    ) -> None:
        self.request = request
        #: Whether it has waited for room that others took; the next is its own.
        self.is_owed = False
        self._key = key
        self._started = time.perf_counter()
        self._places: dict[str, float] = {}
        self._waiting: dict[str, GenerationRequest] = {}
        self._steps: dict[str, int] = {}
        self._finished: dict[float, Finished] = {}
        self._pictures: dict[float, Image.Image] = {}
        self._look = look
        self._looks: dict[float, Sequence[float]] = {}
        self._rounds = planned(request, animation, self._pictures, self._looks, bridges=bridges)
        self._bridged = 0
        self._plan()

    @property
    def in_flight(self) -> list[str]:
        """The keys of the frames that the generator has."""
        return [key for key, place in self._places.items() if key not in self._waiting and place not in self._finished]

    def next_frames(self, worth: int) -> dict[str, GenerationRequest]:
        """Take so many of the waiting frames, or one."""
        if self.in_flight:
            return {}
        return {key: self._waiting.pop(key) for key in [*self._waiting][: max(1, worth)]}

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
                place = self._places[event.key]
                self._finished[place], self._pictures[place] = event, event.images[0]
                self._see(place)
        if len(self._finished) == self.request.frames:
            return self._whole([frame for _place, frame in sorted(self._finished.items())])
        if len(self._finished) == len(self._places):
            self._plan()
        return Progress(self._key, sum(self._steps.values()), self.request.steps)

    def _plan(self) -> None:
        """Let the next round's frames wait."""
        for place, frame in next(self._rounds).items():
            key = f"{self._key}/{place}"
            self._places[key], self._waiting[key] = place, frame
            self._bridged += frame.init_image != self.request.init_image

    def _see(self, place: float) -> None:
        """Keep what a frame looks like; if that fails, all frames are compared by their pixels."""
        try:
            self._looks[place] = self._look(self._pictures[place])
        except Exception as error:
            log.warning("image_text_model_failed reason=%s", error_site(error))
            self._look = pixels
            self._looks.update((one, pixels(image)) for one, image in self._pictures.items())

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
            bridged=self._bridged,
        )


class Animator:
    """A generator that paints animations too, frame by frame; its other requests are not touched.

    Frames are admitted when all before them are painted: as many at once as save time together and leave room for
    another request, or one. Where others have taken all the room, the next one is the animation's, so it takes turns
    with them. With ``starts`` the generator can start from a picture; by ``look`` neighbouring frames are compared.
    """

    def __init__(self, generator: ImageGenerator, *, starts: bool, look: Look = pixels) -> None:
        self._generator, self._starts, self._look = generator, starts, look
        self._in_flight: dict[str, tuple[str, int]] = {}  # what the generator has: of which request, and its pixels
        self._animations: dict[str, AnimationInProgress] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._generator, name)  # what only some generators can: move, change

    @property
    def is_idle(self) -> bool:
        """Whether its animations wait for room that is promised to others, and nothing is in flight."""
        return not self._in_flight

    def admit(self, key: str, request: GenerationRequest) -> None:
        """Add a request, or an animation with its first frame; raises GenerationError.

        A video is one request for a generator that ``paints_videos``.
        """
        if request.animation is None or (request.is_video and getattr(self._generator, "paints_videos", False)):
            self._take(key, key, request)
            return
        if request.is_video or not getattr(self._generator, "blends", False):
            raise BadRequest(NOT_ANIMATED)
        animation = AnimationInProgress(key, request, request.animation, self._look, bridges=self._starts)
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
