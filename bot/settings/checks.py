"""Refuses settings that could not work, each in one sentence."""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path

from limner.bot.errors import SetupError
from limner.bot.quantities import rounded
from limner.bot.settings.fields import SettingFields
from limner.bot.translation import N_, _
from limner.generators.cards.card_schema import ATTENTION, QUANTIZED

LEAST_WEIGHT, MOST_WEIGHT = 0.01, 100
MOST_CANDIDATES = 8
MOST_REQUESTS = 40
MOST_CORNER = 20
KEY_BYTES = 32
GUARD = N_(
    "The setting `text_classifier` is guard, which needs `text_classifier_url`, the address of a chat "
    "server, and `text_classifier_model`, its guard model."
)
NO_RANKER = N_("The setting `expansion_ranker` names no folder that `limner train expansions` has made; run it first.")
KEY = N_("The setting `encryption_key` must be 32 bytes in base64; `openssl rand -base64 32` makes such a key.")


def check_values(settings: SettingFields) -> None:
    """Refuse choices and numbers that are not allowed."""
    _one_of("executor", settings.executor, ("local", "ray", "openai", "comfy"))
    _one_of("offload", settings.offload, ("none", "model", "sequential"))
    _one_of("dtype", settings.dtype, ("auto", "float32", "float16", "bfloat16", "fastest"))
    _one_of("ai_label", settings.ai_label, ("on", "off"))
    if len(settings.corner_label) > MOST_CORNER:
        raise SetupError(_("The setting `corner_label` may have at most {most} characters.", most=MOST_CORNER))
    _one_of("previews", settings.previews, ("on", "off"))
    _one_of("expander_device", settings.expander_device, ("auto", "cpu", "resident", "swap"))
    _one_of("log_level", settings.log_level, ("DEBUG", "INFO", "WARNING", "ERROR"))
    for name in ("max_prompt_length", "max_count", "max_steps", "max_pixels", "max_attempts"):
        _at_least(name, getattr(settings, name), 1)
    if settings.max_batch != "auto" and not re.fullmatch(r"0*[1-9]\d{0,3}", str(settings.max_batch)):
        raise SetupError(_("The setting `max_batch` must be auto, or a whole number from 1 to 9999."))
    for name in ("max_jobs_per_user", "max_jobs_per_guild"):
        _at_least(name, getattr(settings, name), 1)
    if not 1 <= settings.max_requests <= MOST_REQUESTS:
        raise SetupError(_("The setting `max_requests` must be from 1 to {most}.", most=MOST_REQUESTS))
    if not 0 <= settings.metrics_port <= 65535:
        raise SetupError(_("The setting `metrics_port` must be from 0 to {most}.", most=65535))
    if settings.metrics_port and not settings.metrics_host:
        raise SetupError(_("The setting `metrics_host` is empty; 127.0.0.1 lets this machine read the metrics."))
    if settings.max_count > 4:
        raise SetupError(_("The setting `max_count` must be at most 4."))
    for name in ("max_input_bytes", "max_input_pixels"):
        _at_least(name, getattr(settings, name), 1)
    for name in ("expander_timeout", "images_timeout", "lease_seconds", "step_timeout", "load_timeout"):
        _at_least(name, getattr(settings, name), 0.1)
    if settings.text_classifier == "guard" and not (settings.text_classifier_url and settings.text_classifier_model):
        raise SetupError(_(GUARD))
    for name in ("safety_classifier_timeout", "text_classifier_timeout"):
        _at_least(name, getattr(settings, name), 0.1)
    for name in ("days", "member_mb", "server_mb"):
        _at_least(f"refused_{name}", getattr(settings, f"refused_{name}"), 0.01)
        _at_least(f"changes_{name}", getattr(settings, f"changes_{name}"), 0.01)
    _at_least("left_server_days", settings.left_server_days, 0.01)
    limits = {"explicit_limit": 1.0, "explicit_limit_restricted": 1.0, "block_distance": 32, "compared_share": 100}
    for name, most in limits.items():
        if not 0 <= getattr(settings, name) <= most:
            raise SetupError(_("The setting `{name}` must be from 0 to {most}.", name=name, most=rounded(most)))


def encryption_key(text: str) -> bytes:
    """A key as it is written in the environment; raises SetupError unless it is 32 bytes in base64."""
    with suppress(ValueError):
        key = b64decode(text, validate=True)
        if len(key) == KEY_BYTES:
            return key
    raise SetupError(_(KEY))


def check_devices(devices: Collection[str]) -> None:
    """Refuse names of devices that torch has not."""
    if not devices or ("auto" in devices and len(devices) > 1):
        raise SetupError(_("The setting `device` must be auto, or a list of devices such as cuda:0,cuda:1."))
    if strange := [name for name in devices if not re.fullmatch(r"auto|cpu|mps|cuda(:\d{1,3})?", name)]:
        raise SetupError(
            _(
                "The setting `device` knows no {strange}; name auto, cpu, mps, cuda, or cuda:0,cuda:1.",
                strange=strange[0],
            )
        )


def check_models(
    settings: SettingFields, english: Collection[str], compiled: Collection[str], found: Collection[str]
) -> None:
    """Refuse models, and settings about models, that cannot be meant; ``found`` are the names of all models."""
    if not settings.models and not settings.models_dir:
        raise SetupError(_("The setting `models` is empty; give at least one model as name = folder."))
    if any("," in text for pair in settings.models.items() for text in pair):
        raise SetupError(_("The setting `models` cannot hold a comma in a name or folder; rename the folder."))
    if settings.default_model and settings.default_model not in found:
        raise SetupError(
            _(
                "The setting `default_model` names {default_model!r}, which is not among `models`.",
                default_model=settings.default_model,
            )
        )
    if strange := [name for name in english if name not in found]:
        raise SetupError(
            _("The setting `english_only` names {strange!r}, which is not among `models`.", strange=strange[0])
        )
    if strange := [name for name in compiled if settings.servers_paint or name not in found]:
        raise SetupError(
            _("The setting `compile` names {strange!r}, which is no model on this machine.", strange=strange[0])
        )
    is_known = all(name in found and kind in QUANTIZED for name, kind in settings.quantize.items())
    if not is_known or (settings.quantize and settings.servers_paint):
        raise SetupError(
            _("The setting `quantize` must be a list of model = int8, fp8 or nf4, of models on this machine.")
        )
    is_known = all(name in found and kind in ATTENTION for name, kind in settings.attention.items())
    if not is_known or (settings.attention and settings.servers_paint):
        raise SetupError(
            _(
                "The setting `attention` must be a list of model = {names}, of models on this machine; kernels that "
                "diffusers would download are not loaded.",
                names=", ".join(ATTENTION),
            )
        )
    if settings.servers_paint:
        _check_images(settings)
    _check_image_text_model(settings)


def _check_images(settings: SettingFields) -> None:
    if settings.models_dir:
        raise SetupError(_("The setting `models_dir` is for models on this machine; name the server's in `models`."))
    if not settings.images_url:
        raise SetupError(_("The setting `images_url` is empty; give the images server's address, or executor=local."))
    if any(source.startswith("pretrained:") for source in settings.models.values()):
        raise SetupError(_("The setting `models` names a model that ships with Limner; name the images server's own."))


def _check_image_text_model(settings: SettingFields) -> None:
    if not all(number.isdecimal() and 1 <= int(number) <= MOST_CANDIDATES for number in settings.candidates.values()):
        raise SetupError(
            _(
                "The setting `candidates` must be a list of model = number from 1 to {most_candidates}.",
                most_candidates=MOST_CANDIDATES,
            )
        )
    for name in ("candidates", "captioner", "preference_model"):
        if getattr(settings, name) and not settings.image_text_model:
            raise SetupError(
                _(
                    "The setting `{name}` needs an image-text model; name one in the setting `image_text_model`.",
                    name=name,
                )
            )
    if settings.preference_model and not (Path(settings.preference_model) / "preferences.safetensors").is_file():
        raise SetupError(
            _("The setting `preference_model` names no folder that `limner train preferences` has made; run it first.")
        )
    if settings.expansion_ranker and not (Path(settings.expansion_ranker) / "expansions.safetensors").is_file():
        raise SetupError(_(NO_RANKER))


def weights(name: str, table: Mapping[str, str]) -> dict[int, float]:
    """A table of Discord id and queue weight; raises SetupError."""
    try:
        found = {int(key): float(weight) for key, weight in table.items()}
    except ValueError as error:
        raise SetupError(_("The setting `{name}` must be a list of Discord id = weight.", name=name)) from error
    if not all(LEAST_WEIGHT <= weight <= MOST_WEIGHT for weight in found.values()):
        raise SetupError(
            _(
                "The weights in `{name}` must be from {least_weight} to {most_weight}.",
                name=name,
                least_weight=LEAST_WEIGHT,
                most_weight=MOST_WEIGHT,
            )
        )
    return found


def _one_of(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise SetupError(_("The setting `{name}` must be one of {join}.", name=name, join=", ".join(choices)))


def _at_least(name: str, value: float, least: float) -> None:
    if not value >= least:  # refuses NaN too
        raise SetupError(_("The setting `{name}` must be at least {least}.", name=name, least=least))
