"""Starts, wakes and stops one worker process."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import threading
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from functools import partial
from importlib.metadata import entry_points
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import psutil
from PIL import Image

from limner.bot.app import App, open_app
from limner.bot.errors import SetupError
from limner.bot.queue.faults import WorkerBroken
from limner.bot.queue.listen import listen
from limner.bot.queue.wakeup import ALIVE, CHANGED, hear_stdin, take_stdout
from limner.bot.settings import Settings
from limner.bot.settings.checks import NO_RANKER
from limner.bot.settings.current_cards import CurrentCards, keep_looking
from limner.bot.storage.migrate import check
from limner.bot.translation import _
from limner.bot.worker.classifier_thread import ClassifierThread
from limner.bot.worker.executor_thread import ExecutorThread
from limner.bot.worker.picture_embeddings import embeds
from limner.bot.worker.scoring_thread import ScoringThread
from limner.bot.worker.worker import PREVIEW_SECONDS, Worker
from limner.generators.base import ImageTextModel, PromptExpander
from limner.generators.errors import ModelNotFound
from limner.generators.executor import Executor
from limner.generators.measured import Measured
from limner.generators.walks import Look, pixels

if TYPE_CHECKING:
    from limner.generators.vision.postprocess import Finisher
    from limner.generators.vision.preferences import Reward
    from limner.generators.vision.segmentation import TextSegmentation

log = logging.getLogger(__name__)

LOADING_SECONDS = 3600.0
"""How long an idea waits for the language model where nothing else is painted."""
LOOKED_AT = 256
"""Pixels of the shorter side to which frames of animations are reduced before they are compared, or a few more."""
NICE = 10
"""The worker's niceness, so that the bot answers within seconds on a busy processor."""


def be_worker(settings: Settings, worker_id: str) -> None:
    """Run a worker until SIGTERM, SIGINT or the end of its parent process, then exit this process.

    Args:
        settings: the queue, the models and the device.
        worker_id: given by the supervisor, which sends wake-ups on stdin and stops the worker by closing it; the
            worker's own wake-ups go to stdout.
    """
    psutil.Process().nice(psutil.BELOW_NORMAL_PRIORITY_CLASS if sys.platform == "win32" else NICE)
    if sys.platform != "win32":
        signal.signal(signal.SIGTTOU, signal.SIG_IGN)  # a terminal may stop what writes from the background

    async def work() -> None:
        code = await _work(settings, worker_id)
        # All is put back and closed; a normal exit would wait for a thread that hangs or still loads a model.
        logging.shutdown()
        os._exit(code)

    asyncio.run(work())


async def _work(settings: Settings, worker_id: str) -> int:
    try:
        async with open_worker(settings, worker_id) as (app, worker):
            say = take_stdout()
            app.jobs.changed.listeners.append(partial(say, CHANGED))
            worker.beats.append(partial(say, ALIVE))
            hear_stdin(app.jobs.queued.hear, worker.stop)
            _stop_on_signals(worker)
            await worker.run()
    except WorkerBroken as broken:
        log.error("worker_broken worker=%s code=%s", worker_id, broken.fault.code)
        return broken.exit_code
    return 0


@asynccontextmanager
async def open_worker(settings: Settings, worker_id: str) -> AsyncGenerator[tuple[App, Worker]]:
    """A worker to `run`, with its App; on Postgres it also listens for other processes' wake-ups."""
    # Before torch is loaded: its threads must not spin while they wait for each other, because the language model has
    # threads of its own. On two busy cores a step took 14 times as long.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    await check(settings.url)
    async with open_app(settings) as app:
        load = image_text_loader(settings)
        executor = _executor(settings, look_by(load) if embeds(settings) else pixels)
        expander = load_expander(settings, executor)
        scoring = open_scoring(settings, load)
        worker = Worker(
            app, ExecutorThread(executor, settings), expander, ClassifierThread(settings), scoring, worker_id
        )
        listener = asyncio.create_task(listen(app.jobs), name="listen")
        models = asyncio.create_task(keep_looking(settings), name="find-models")
        log.info("worker_started worker=%s device=%s", worker_id, settings.device)
        try:
            yield app, worker
        finally:
            listener.cancel()
            models.cancel()
            await asyncio.wait({listener, models})
        log.info("worker_stopped worker=%s", worker_id)


def load_expander(settings: Settings, executor: Executor | None) -> PromptExpander:
    """The configured expander, which chooses among several expansions if that is configured.

    Without an executor nothing else is painted, and it waits for its model as long as that is loaded.

    Raises:
        SetupError: no installed package has it.
    """
    found = {entry.name: entry for entry in entry_points(group="limner.expanders")}
    if settings.expander not in found:
        raise SetupError(_("The setting `expander` must be one of {join}.", join=", ".join(found)))
    kind = found[settings.expander].load()
    expander = kind.create(
        model=settings.expander_model,
        url=settings.expander_url,
        api_key=settings.expander_api_key,
        timeout=settings.expander_timeout,
        cache=settings.data / "cache",
        beside=executor and executor.neighbour(settings.default_card.name, settings.expander_device),
    )
    if executor is None and hasattr(expander, "loading_seconds"):
        expander.loading_seconds = LOADING_SECONDS
    if not settings.expansion_ranker:
        return expander
    from limner.generators.language.ranked_expander import ExpansionRanker, RankedExpander

    try:
        ranker = ExpansionRanker.load(Path(settings.expansion_ranker))
    except ModelNotFound as error:
        raise SetupError(_(NO_RANKER)) from error
    return RankedExpander(expander, ranker)


def image_text_loader(settings: Settings) -> Callable[[], ImageTextModel]:
    """What loads the configured image-text model at its first call, in any thread; all calls return the same one."""
    lock, loaded = threading.Lock(), list[ImageTextModel]()

    def load() -> ImageTextModel:
        from limner.generators.vision.clip import FolderImageTextModel

        source, captioner = settings.image_text_source, settings.captioner
        with lock:
            if not loaded:
                loaded.append(FolderImageTextModel.load(source, captioner=captioner, device=settings.image_text_device))
        return loaded[0]

    return load


def look_by(load: Callable[[], ImageTextModel]) -> Look:
    """What compares frames of animations: by an image-text model's features."""

    def look(image: Image.Image) -> list[float]:
        smaller = image.reduce(max(1, min(image.size) // LOOKED_AT))
        return load().features([smaller])[0].tolist()

    return look


def open_scoring(settings: Settings, load: Callable[[], ImageTextModel] | None = None) -> ScoringThread:
    """The configured models for scoring, postprocessing and segmentation; each is loaded at its first use.

    ``load`` loads the image-text model.
    """

    def make_finisher() -> Finisher:
        from limner.generators.vision.postprocess import Finisher

        return Finisher(settings.upscaler, settings.image_text_device, restoration=settings.restoration_source)

    def load_text_segmentation() -> TextSegmentation:
        from limner.generators.vision.segmentation import load_segmentation

        return load_segmentation(settings.segmentation_source, device=settings.image_text_device)

    def load_reward() -> Reward:
        from limner.generators.vision.preferences import Reward

        return Reward.load(Path(settings.preference_model))

    reward = load_reward if settings.preference_model else None
    return ScoringThread(load or image_text_loader(settings), make_finisher, load_text_segmentation, reward)


def _executor(settings: Settings, look: Look) -> Executor:
    return Executor(
        CurrentCards(settings),
        device=settings.device,
        dtype=settings.dtype,
        offload=settings.offload,
        max_batch=settings.most_samples,
        measured=Measured(settings.measured_file),
        previews=PREVIEW_SECONDS if settings.previews == "on" else 0.0,
        look=look,
    )


def _stop_on_signals(worker: Worker) -> None:
    loop = asyncio.get_running_loop()

    def stop(_number: int, _frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(worker.stop)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
