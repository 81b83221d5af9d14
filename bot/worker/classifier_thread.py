"""Runs the safety classifier in its own thread with a timeout. Unclassified pictures are never posted."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

from limner.bot.background import wait_for
from limner.bot.errors import NotClassified
from limner.bot.settings import Settings
from limner.bot.storage.pictures.perceptual_hash import fingerprint
from limner.bot.storage.tables.models import Seen
from limner.generators.base import SafetyClassifier
from limner.generators.errors import error_site
from limner.generators.installed import safety_classifiers

if TYPE_CHECKING:
    from PIL import Image

log = logging.getLogger(__name__)

PAUSE_SECONDS, LONGEST_PAUSE = 1.0, 300.0
"""Pause before a classifier that hangs or cannot be loaded is loaded again; it doubles each time."""


class ClassifierThread:
    """Classifies one picture after another, beside everything else in the process.

    A classifier that raises leaves that one picture unclassified. A classifier that hangs cannot be stopped, so its
    thread is abandoned and it is loaded again in a new one; until it is loaded, `look` raises at once.
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
        """Load the classifier in advance; an error is raised by the first `look`."""
        await wait_for(self._begin_to_load(), self._settings.load_timeout)

    async def look(self, image: Image.Image) -> Seen:
        """Classify a picture.

        Raises:
            NotClassified: the classifier is broken or takes longer than the setting `safety_classifier_timeout`.
        """
        if time.monotonic() < self._blind_until:
            raise NotClassified
        classifier = await self._loaded()
        thread = self._thread
        call = thread.submit(_look, classifier, self._settings.safety_classifier, image)
        await wait_for(call, self._settings.safety_classifier_timeout)
        if call.cancel() or not call.done():  # it hangs, or waits behind a call that hangs
            self._leave_behind(thread)
            raise NotClassified
        if error := call.exception():
            log.error("look_failed reason=%s", error_site(error))
            raise NotClassified from error
        self._pause = PAUSE_SECONDS
        return call.result()

    def close(self) -> None:
        """Stop without waiting: the process exits next."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _loaded(self) -> SafetyClassifier | None:
        loading = self._begin_to_load()
        await wait_for(loading, self._settings.safety_classifier_timeout)
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
            return  # another caller has replaced it already
        log.error("eyes_hang pause=%.0f", self._pause)
        thread.shutdown(wait=False, cancel_futures=True)
        self._thread = _thread()
        self._forget()

    def _forget(self) -> None:
        self._loading = None
        self._blind_until = time.monotonic() + self._pause
        self._pause = min(2 * self._pause, LONGEST_PAUSE)


def load_classifier(settings: Settings) -> SafetyClassifier | None:
    """The configured safety classifier, None if it is switched off; blocks, and raises what its `create` raises."""
    if settings.safety_classifier == "off":
        return None
    kind, model = settings.safety_classifier_entry
    entry = safety_classifiers()[kind]
    unwanted, wanted = settings.safety_classifier_texts
    return entry.load().create(model=model, unwanted=unwanted, wanted=wanted)


def _thread() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, thread_name_prefix="classifier")


def _look(classifier: SafetyClassifier | None, name: str, image: Image.Image) -> Seen:
    hashes = vars(fingerprint(image))
    if classifier is None:
        return Seen(time.time(), name, None, None, **hashes)
    seen = classifier.look(image)
    if not 0 <= seen.score <= 1:
        raise ValueError("a score is from 0 to 1")
    return Seen(time.time(), name, seen.score, dict(seen.scores), **hashes)
