"""The lookout: the eyes in a thread of their own, and a clock on each look. Who is not seen is not posted."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

from limner.bot.errors import NotClassified
from limner.bot.settings import Settings
from limner.bot.storage.models import Seen
from limner.bot.storage.perceptual_hash import fingerprint
from limner.generators.base import SafetyClassifier, error_site

if TYPE_CHECKING:
    from PIL import Image

log = logging.getLogger(__name__)

PAUSE_SECONDS, LONGEST_PAUSE = 1.0, 300.0
"""Before eyes that hang or cannot be loaded are loaded again; it doubles each time."""


class ClassifierThread:
    """Looks at one picture after the other, beside whatever else the process does.

    Eyes that raise have not seen that one picture. Eyes that hang cannot be ended, so their thread is left behind and
    others are loaded in a new one; meanwhile, and while eyes cannot be loaded, nobody waits for a look.
    """

    def __init__(self, settings: Settings, load: Callable[[Settings], SafetyClassifier | None] | None = None) -> None:
        self._settings = settings
        self._load = load or load_classifier
        self._thread = _thread()
        self._loading: Future[SafetyClassifier | None] | None = None
        self._loading_since = 0.0
        self._blind_until = 0.0
        self._pause = PAUSE_SECONDS

    async def open(self) -> None:
        """Load the eyes while nobody waits for them; what goes wrong is told at the first look."""
        await asyncio.wait({asyncio.wrap_future(self._begin_to_load())}, timeout=self._settings.load_timeout)

    async def look(self, image: Image.Image) -> Seen:
        """What there is to see in a picture.

        Raises:
            NotClassified: the classifier is broken or takes longer than the setting `eyes_timeout`.
        """
        if time.monotonic() < self._blind_until:
            raise NotClassified
        eyes = await self._loaded()
        thread = self._thread
        call = thread.submit(_look, eyes, self._settings.eyes, image)
        await asyncio.wait({asyncio.wrap_future(call)}, timeout=self._settings.eyes_timeout)
        if call.cancel() or not call.done():  # it waits behind one that hangs, or hangs itself
            self._leave_behind(thread)
            raise NotClassified
        if error := call.exception():
            log.error("look_failed reason=%s", error_site(error))
            raise NotClassified from error
        self._pause = PAUSE_SECONDS
        return call.result()

    def close(self) -> None:
        """Wait for nothing: the process is about to end."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _loaded(self) -> SafetyClassifier | None:
        loading = self._begin_to_load()
        await asyncio.wait({asyncio.wrap_future(loading)}, timeout=self._settings.eyes_timeout)
        if not loading.done():
            if time.monotonic() - self._loading_since > self._settings.load_timeout:
                self._leave_behind(self._thread)
            raise NotClassified
        if loading.cancelled():
            raise NotClassified
        if error := loading.exception():
            if loading is self._loading:
                log.error("eyes_missing reason=%s", error_site(error))
                self._forget()
            raise NotClassified from error
        return loading.result()

    def _begin_to_load(self) -> Future[SafetyClassifier | None]:
        if self._loading is None:
            self._loading = self._thread.submit(self._load, self._settings)
            self._loading_since = time.monotonic()
        return self._loading

    def _leave_behind(self, thread: ThreadPoolExecutor) -> None:
        if thread is not self._thread:
            return  # whoever waited longest has done it
        log.error("eyes_hang pause=%.0f", self._pause)
        thread.shutdown(wait=False, cancel_futures=True)
        self._thread = _thread()
        self._forget()

    def _forget(self) -> None:
        self._loading = None
        self._blind_until = time.monotonic() + self._pause
        self._pause = min(2 * self._pause, LONGEST_PAUSE)


def load_classifier(settings: Settings) -> SafetyClassifier | None:
    """The eyes that the settings name, None if there are to be none; blocks, and raises what their maker raises."""
    if settings.eyes == "off":
        return None
    kind, model = settings.eyes_kind
    [entry] = entry_points(group="limner.eyes", name=kind)
    unwanted, wanted = settings.eyes_texts
    return entry.load().create(model=model, unwanted=unwanted, wanted=wanted)


def _thread() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, thread_name_prefix="eyes")


def _look(eyes: SafetyClassifier | None, name: str, image: Image.Image) -> Seen:
    phash = fingerprint(image)
    if eyes is None:
        return Seen(time.time(), name, None, None, phash)
    seen = eyes.look(image)
    if not 0 <= seen.score <= 1:
        raise ValueError("a score is from 0 to 1")
    return Seen(time.time(), name, seen.score, dict(seen.scores), phash)
