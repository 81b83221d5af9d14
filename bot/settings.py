"""Every setting: its name, environment variable, default and meaning; read once, never at import."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

from limner.bot.errors import SetupError
from limner.bot.translation import N_, _
from limner.generators.installed import safety_classifiers
from limner.generators.model_card import UNLOADABLE, ImagesServer, LoraFiles, ModelCard
from limner.generators.model_files import downloaded
from limner.generators.text_files import BadText, read_toml

ASYNC_DRIVERS = {"sqlite": "sqlite+aiosqlite", **dict.fromkeys(("postgres", "postgresql"), "postgresql+asyncpg")}
NEAR = N_("{where} sets {written}, which is not a setting; did you mean {near}?")
LORAS = "loras"
"""The folder in the data folder that holds LoRA files, in a folder for each model."""
PRETRAINED = Path(__file__).resolve().parent.parent / "generators" / "pretrained"

LEAST_WEIGHT, MOST_WEIGHT = 0.01, 100
MOST_CANDIDATES = 8
MOST_REQUESTS = 40

RENAMED = {
    "eyes": "safety_classifier",
    "eyes_unwanted": "safety_classifier_unwanted",
    "eyes_wanted": "safety_classifier_wanted",
    "eyes_timeout": "safety_classifier_timeout",
    "reader": "image_text_model",
    "reader_device": "image_text_device",
}
"""Old names of settings, which version 0.2 still reads; `limner doctor` names the new ones."""


def setting(default: str | float | Path, meaning: str) -> Any:
    """A field with its meaning, for the docs."""
    return field(default=default, metadata={"meaning": meaning})


def table(default: dict[str, str], meaning: str) -> Any:
    """A field that is a table in the settings file and name=value,name=value in the environment."""
    return field(default_factory=default.copy, metadata={"meaning": meaning})


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All of an operator's settings.

    Each field ``x`` is read from the environment variable ``LIMNER_X``, else from ``x`` in ``limner.toml`` in the data
    folder, else it has the default below.
    """

    data: Path = setting(Path("data"), "Folder for the database, the pictures and the caches.")
    token: str = setting("", "The Discord bot's token, for `limner run`.")
    database_url: str = setting("", "SQLAlchemy URL of the database; empty means SQLite in the data folder.")

    models: dict[str, str] = table(
        {"doodle": "pretrained:doodle"},
        "Models on offer: name = diffusers folder, hub name, or `pretrained:` name; `@WIDTHxHEIGHT:STEPS:GUIDANCE` "
        "says how it paints.",
    )
    default_model: str = setting("", "The model that paints when none is asked for; empty means the first one.")
    english_only: str = setting(
        "", "Models that read English only, with commas; the glossary translates for them. Folders say it themselves."
    )
    executor: str = setting(
        "local", "Where pictures are painted: local (worker processes), ray (Ray actors) or openai (a server)."
    )
    images_url: str = setting("", "Address of an OpenAI-compatible images server, such as http://localhost:8000/v1.")
    images_api_key: str = setting("", "Key for that server, if it wants one.")
    images_timeout: float = setting(300.0, "Seconds that the server may take for one picture.")
    ray_address: str = setting("", "Address of a Ray cluster, such as `auto`; empty starts Ray on this machine.")
    device: str = setting(
        "auto", "Where the models run: auto (every GPU, else the CPU), or a list such as cuda:0,cuda:1; mps; cpu."
    )
    dtype: str = setting("auto", "Number format of the weights: auto, float32, float16 or bfloat16.")
    offload: str = setting("none", "Move weights off the GPU between uses: none, model or sequential.")
    max_batch: str = setting(
        "auto",
        "Samples that one denoiser call holds at most: a number, or auto for what fits and saves time on the device.",
    )
    workers: int = setting(1, "Workers that `limner run` starts on each device, or on Ray; 0 if they run elsewhere.")
    previews: str = setting("on", "Show a rough picture while one is being painted: on or off.")

    expander: str = setting("transformers", "Expander of ideas: transformers, openai or off.")
    expander_model: str = setting("", "Language model folder or name; empty means the SmolLM2 that ships with it.")
    expander_device: str = setting(
        "auto",
        "Where the language model runs beside the image model: auto, cpu, resident (same GPU) or swap (in turn).",
    )
    expander_url: str = setting("", "Address of an OpenAI-compatible chat server, such as http://localhost:11434/v1.")
    expander_api_key: str = setting("", "Key for that server, if it wants one.")
    expander_timeout: float = setting(30.0, "Seconds that an expansion may take before the idea itself is used.")

    safety_classifier: str = setting(
        "default",
        "Safety classifier that scores every picture before it is posted: default (open_nsfw), a folder or hub name (a "
        "transformers image classifier or a CLIP-style model), the name of an installed package's, or off.",
    )
    safety_classifier_unwanted: str = setting(
        "", "Its labels, or texts for CLIP, that count as explicit, with commas; empty: the usual ones."
    )
    safety_classifier_wanted: str = setting(
        "", "Texts for CLIP of harmless subjects, with commas; empty: the usual ones."
    )
    safety_classifier_timeout: float = setting(
        20.0, "Seconds that classifying a picture may take; after that the pictures wait for another attempt."
    )
    explicit_limit: float = setting(0.5, "How explicit a picture may be, 0 (nothing is posted) to 1 (everything is).")
    explicit_limit_restricted: float = setting(0.9, "The same in channels that Discord calls age-restricted.")
    block_distance: int = setting(6, "Of 64 bits, in how many a picture may differ from a blocked one and be blocked.")
    max_input_bytes: int = setting(10 * 2**20, "Bytes of a picture file to start from.")
    max_input_pixels: int = setting(40_000_000, "Width times height of a picture to start from.")

    styles: str = setting("", "TOML file with more style presets, in the form of the shipped bot/styles.toml.")
    max_prompt_length: int = setting(1500, "Characters in a prompt or negative prompt.")
    max_count: int = setting(4, "Pictures in one request, up to 4.")
    max_requests: int = setting(
        10, "Requests that one prompt may make by {a, b} or --repeat, up to 40; they need the room of one."
    )
    max_steps: int = setting(50, "Denoising steps in one request.")
    max_pixels: int = setting(2048 * 2048, "Width times height of a picture.")
    max_jobs_per_user: int = setting(3, "Requests that one person may have waiting or running.")
    max_jobs_per_guild: int = setting(50, "Requests that one server may have waiting or running.")
    refused_days: float = setting(90.0, "Days that a refused request is kept; longer if a moderator has seen it.")
    refused_member_mb: float = setting(8.0, "Megabytes of a member's refused requests in one server; its oldest go.")
    refused_server_mb: float = setting(64.0, "The same of all members of a server.")
    changes_days: float = setting(365.0, "Days that a change stays in a server's /filter log.")
    changes_member_mb: float = setting(32.0, "Megabytes of one moderator's changes in that log; the oldest ones go.")
    changes_server_mb: float = setting(64.0, "The same of all moderators of a server.")
    server_weights: dict[str, str] = table(
        {}, "Queue weight of a server, 1 for all others: server id = weight, from 0.01 to 100."
    )
    class_weights: dict[str, str] = table(
        {},
        "Queue weight by role id (2: two turns for each turn of others); a member's largest one counts.",
    )

    image_text_model: str = setting(
        "pretrained:reader",
        "Image-text model that scores pictures against words: a CLIP-style folder or hub name of transformers, or a "
        "`pretrained:` name; empty: none.",
    )
    captioner: str = setting(
        "", "Image-to-text folder or hub name for /describe; empty means the image-text model's own."
    )
    image_text_device: str = setting("cpu", "Where image-text model, captioner and upscaler run: cpu, cuda:0 or mps.")
    candidates: dict[str, str] = table(
        {},
        "Pictures painted for each one kept, the best match to the idea: model = number, from 1 to 8.",
    )
    upscaler: str = setting("", "Upscaling model, a safetensors file that spandrel reads; empty means Lanczos.")

    lease_seconds: float = setting(15.0, "How long a silent worker keeps its jobs before others may take them.")
    step_timeout: float = setting(300.0, "Seconds that one denoising step may take before its worker is started again.")
    load_timeout: float = setting(1800.0, "Seconds that loading a model may take, its download included.")
    max_attempts: int = setting(3, "How often a job is tried before its owner reads why it failed.")
    log_level: str = setting("INFO", "DEBUG, INFO, WARNING or ERROR.")

    @classmethod
    def load(cls, environ: Mapping[str, str] | None = None, **given: Any) -> Self:
        """Read the environment and the settings file; what is ``given`` (not None) wins over both."""
        environ = os.environ if environ is None else environ
        given = {name: value for name, value in given.items() if value is not None}
        data = Path(given.get("data") or environ.get("LIMNER_DATA") or cls.data)
        values = {**_read_file(data / "limner.toml"), **_read_environment(environ), **given, "data": data}
        settings = cls(**{name: _convert(name, value) for name, value in values.items()})
        settings.check()
        return settings

    def environment(self) -> dict[str, str]:
        """The variables that make `load` return these settings in another process; the token stays here."""
        return {
            f"LIMNER_{name.upper()}": _to_text(getattr(self, name)) for name in names() if name not in ("token", "data")
        } | {"LIMNER_DATA": str(self.data.resolve())}

    def check(self) -> None:
        """Refuse values that could not work, each in one sentence."""
        _one_of("executor", self.executor, ("local", "ray", "openai"))
        _one_of("offload", self.offload, ("none", "model", "sequential"))
        _one_of("dtype", self.dtype, ("auto", "float32", "float16", "bfloat16"))
        _one_of("previews", self.previews, ("on", "off"))
        _one_of("expander_device", self.expander_device, ("auto", "cpu", "resident", "swap"))
        _one_of("log_level", self.log_level, ("DEBUG", "INFO", "WARNING", "ERROR"))
        for name in ("max_prompt_length", "max_count", "max_steps", "max_pixels", "max_attempts"):
            _at_least(name, getattr(self, name), 1)
        if self.max_batch != "auto" and not re.fullmatch(r"0*[1-9]\d{0,3}", str(self.max_batch)):
            raise SetupError(_("The setting `max_batch` must be auto, or a whole number from 1 to 9999."))
        for name in ("max_jobs_per_user", "max_jobs_per_guild"):
            _at_least(name, getattr(self, name), 1)
        if not 1 <= self.max_requests <= MOST_REQUESTS:
            raise SetupError(_("The setting `max_requests` must be from 1 to {most}.", most=MOST_REQUESTS))
        if self.max_count > 4:
            raise SetupError(_("The setting `max_count` must be at most 4."))
        for name in ("max_input_bytes", "max_input_pixels"):
            _at_least(name, getattr(self, name), 1)
        for name in ("expander_timeout", "images_timeout", "lease_seconds", "step_timeout", "load_timeout"):
            _at_least(name, getattr(self, name), 0.1)
        _at_least("safety_classifier_timeout", self.safety_classifier_timeout, 0.1)
        for name in ("days", "member_mb", "server_mb"):
            _at_least(f"refused_{name}", getattr(self, f"refused_{name}"), 0.01)
            _at_least(f"changes_{name}", getattr(self, f"changes_{name}"), 0.01)
        for name, most in (("explicit_limit", 1.0), ("explicit_limit_restricted", 1.0), ("block_distance", 32)):
            if not 0 <= getattr(self, name) <= most:
                raise SetupError(_("The setting `{name}` must be from 0 to {most:g}.", name=name, most=most))
        _read = self.safety_classifier_entry
        if not self.devices or ("auto" in self.devices and len(self.devices) > 1):
            raise SetupError(_("The setting `device` must be auto, or a list of devices such as cuda:0,cuda:1."))
        if strange := [name for name in self.devices if not re.fullmatch(r"auto|cpu|mps|cuda(:\d{1,3})?", name)]:
            raise SetupError(
                _(
                    "The setting `device` knows no {strange}; name auto, cpu, mps, cuda, or cuda:0,cuda:1.",
                    strange=strange[0],
                )
            )
        if not self.models:
            raise SetupError(_("The setting `models` is empty; give at least one model as name = folder."))
        if any("," in text for pair in self.models.items() for text in pair):
            raise SetupError(_("The setting `models` cannot hold a comma in a name or folder; rename the folder."))
        if self.default_model and self.default_model not in self.models:
            raise SetupError(
                _(
                    "The setting `default_model` names {default_model!r}, which is not among `models`.",
                    default_model=self.default_model,
                )
            )
        if strange := [name for name in self._english if name not in self.models]:
            raise SetupError(
                _("The setting `english_only` names {strange!r}, which is not among `models`.", strange=strange[0])
            )
        if self.executor == "openai":
            self._check_images()
        _read = self.weights_of_servers, self.weights_of_roles
        self._check_reading()

    @cached_property
    def devices(self) -> list[str]:
        """The devices of this machine that are to be used; ``["auto"]`` stands for the best that are there."""
        return [name.strip() for name in self.device.split(",") if name.strip()]

    @property
    def most_samples(self) -> int | None:
        """`max_batch` as a number; None for auto."""
        return None if self.max_batch == "auto" else int(self.max_batch)

    @property
    def measured_file(self) -> Path:
        """The file with measurements of models on this machine."""
        return self.data / "cache" / "measured.json"

    @cached_property
    def image_text_source(self) -> str:
        """The image-text model's folder or hub name."""
        return _source(self.image_text_model)

    def candidates_of(self, model: str) -> int:
        """How many pictures of a model are painted for each one kept."""
        return int(self.candidates.get(model, "1"))

    def _check_reading(self) -> None:
        if not all(number.isdecimal() and 1 <= int(number) <= MOST_CANDIDATES for number in self.candidates.values()):
            raise SetupError(
                _(
                    "The setting `candidates` must be a list of model = number from 1 to {most_candidates}.",
                    most_candidates=MOST_CANDIDATES,
                )
            )
        for name in ("candidates", "captioner"):
            if getattr(self, name) and not self.image_text_model:
                raise SetupError(
                    _(
                        "The setting `{name}` needs an image-text model; name one in the setting `image_text_model`.",
                        name=name,
                    )
                )

    def _check_images(self) -> None:
        if not self.images_url:
            raise SetupError(
                _("The setting `images_url` is empty; give the images server's address, or executor=local.")
            )
        if any(source.startswith("pretrained:") for source in self.models.values()):
            raise SetupError(
                _("The setting `models` names a model that ships with Limner; name the images server's own.")
            )

    @cached_property
    def url(self) -> str:
        """The database's SQLAlchemy URL, with an async driver."""
        if not self.database_url:
            file = (self.data / "limner.db").resolve()
            return f"sqlite+aiosqlite:///{quote(str(file), safe='/: ')}"  # ? and % have a meaning in URLs
        kind, separator, address = self.database_url.partition("://")
        return ASYNC_DRIVERS.get(kind, kind) + separator + address

    @property
    def cards(self) -> dict[str, ModelCard]:
        """The card of each model in the order of the setting, without models whose files cannot be read."""
        return self._models[0]

    @property
    def broken_models(self) -> dict[str, str]:
        """One sentence for each model whose files cannot be read."""
        return self._models[1]

    @property
    def _models(self) -> tuple[dict[str, ModelCard], dict[str, str]]:
        """Cards and faults; read once more for each model of the hub that has been downloaded meanwhile."""
        here = frozenset(source for source in self._on_hub if downloaded(source))
        if here not in self._read:
            self._read[here] = self._read_models()
        return self._read[here]

    @cached_property
    def _on_hub(self) -> list[str]:
        sources = [source.partition("@")[0] for source in self.models.values()] if self.executor != "openai" else []
        return [source for source in sources if source.count("/") == 1 and not Path(source).is_dir()]

    @cached_property
    def _read(self) -> dict[frozenset[str], tuple[dict[str, ModelCard], dict[str, str]]]:
        return {}

    def _read_models(self) -> tuple[dict[str, ModelCard], dict[str, str]]:
        paints_here = self.executor == "local" and self.workers > 0
        cards: dict[str, ModelCard] = {}
        broken: dict[str, str] = {}
        server = ImagesServer(self.images_url, self.images_api_key, self.images_timeout)
        for name, source in self.models.items():
            try:
                if self.executor == "openai":
                    cards[name] = _card(name, source, None, kind="openai", server=server)
                else:
                    more = {"english_only": True} if name in self._english else {}
                    card = _card(name, source, self.data / LORAS / name, **more)
                    cards[name] = _here(card) if paints_here else card
            except BadText as error:
                broken[name] = str(error)
        return cards, broken

    @cached_property
    def _english(self) -> list[str]:
        return [name.strip() for name in self.english_only.split(",") if name.strip()]

    @property
    def offered(self) -> dict[str, ModelCard]:
        """The models that can be used."""
        return {name: card for name, card in self.cards.items() if not card.problem}

    @property
    def default_card(self) -> ModelCard:
        """The default model: the named or first one, or else the first usable one."""
        named = self.cards.get(self.default_model or next(iter(self.models)))
        if named is None and not self.cards:
            raise SetupError(_("No model can be used. {next}", next=next(iter(self.broken_models.values()))))
        able = (card for card in (named, *self.offered.values()) if card and not (card.problem or card.needs_picture))
        return next(able, named or next(iter(self.cards.values())))

    @cached_property
    def safety_classifier_entry(self) -> tuple[str, str]:
        """The safety classifier's entry point and the model that it loads; both empty if it is switched off."""
        if self.safety_classifier == "off":
            return "", ""
        if self.safety_classifier == "default":
            return "opennsfw", ""
        if self.safety_classifier in safety_classifiers():
            return self.safety_classifier, ""
        if "/" not in self.safety_classifier and not Path(self.safety_classifier).is_dir():
            raise SetupError(
                _(
                    "The setting `safety_classifier` must be default, off, a folder, a hub name or an installed "
                    "package's."
                )
            )
        return "transformers", self.safety_classifier

    @cached_property
    def safety_classifier_texts(self) -> tuple[list[str], list[str]]:
        """The labels or texts that count as explicit, and the texts that do not."""
        unwanted, wanted = (
            [part.strip() for part in text.split(",")]
            for text in (self.safety_classifier_unwanted, self.safety_classifier_wanted)
        )
        return [text for text in unwanted if text], [text for text in wanted if text]

    @cached_property
    def weights_of_servers(self) -> dict[int, float]:
        """Queue weight by server id; 1 for others."""
        return _weights("server_weights", self.server_weights)

    @cached_property
    def weights_of_roles(self) -> dict[int, float]:
        """Queue weight by role id."""
        return _weights("class_weights", self.class_weights)

    def using(self, **changes: Any) -> Self:
        """A copy with some settings changed."""
        return replace(self, **changes)


def names() -> list[str]:
    """Every setting's name, in the order of the docs' table."""
    return [item.name for item in fields(Settings)]


def outdated(data: Path) -> dict[str, str]:
    """Old names of settings in the environment and the settings file, each with the new one in the same spelling."""
    variables = {f"LIMNER_{old.upper()}": f"LIMNER_{new.upper()}" for old, new in RENAMED.items()}
    written = {*os.environ, *_in_file(data / "limner.toml")}
    return {old: new for old, new in (variables | RENAMED).items() if old in written}


def _in_file(path: Path) -> dict[str, Any]:
    try:
        return read_toml(path, _("The settings file {path}", path=path.name)) if path.exists() else {}
    except BadText as error:
        raise SetupError(str(error)) from error


def _read_file(path: Path) -> dict[str, Any]:
    values = _in_file(path)
    for name in values:
        _known(name, _("The settings file {path}", path=path.name), name)
    return _by_new_names(values)


def _read_environment(environ: Mapping[str, str]) -> dict[str, str]:
    values: dict[str, str] = {}
    for variable, value in environ.items():
        if variable.startswith("LIMNER_"):
            name = variable.removeprefix("LIMNER_").lower()
            _known(name, _("The environment"), variable)
            values[name] = value
    return _by_new_names(values)


def _by_new_names(values: dict[str, Any]) -> dict[str, Any]:
    """The values under the settings' new names; where both names are given, the new one counts."""
    return {RENAMED[name]: values[name] for name in values if name in RENAMED} | {
        name: value for name, value in values.items() if name not in RENAMED
    }


def _known(name: str, where: str, written: str) -> None:
    if name in names() or name in RENAMED:
        return
    close = difflib.get_close_matches(name, names(), n=1)
    if not close:
        raise SetupError(_("{where} sets {written}, which is not a setting.", where=where, written=written))
    near = written.replace(name, close[0]).replace(name.upper(), close[0].upper())
    raise SetupError(_(NEAR, where=where, written=written, near=near))


def _convert(name: str, value: Any) -> Any:
    kind = {item.name: str(item.type) for item in fields(Settings)}[name]
    try:
        if kind == "dict[str, str]" and isinstance(value, str):
            return dict(_pair(entry) for entry in value.split(",") if entry.strip())
        if kind == "dict[str, str]":
            return {str(key): str(item) for key, item in value.items()}
        if kind == "int" and isinstance(value, float):
            raise ValueError(value)
        return {"Path": Path, "str": str, "int": int, "float": float}[kind](value)
    except (TypeError, ValueError, AttributeError) as error:
        wanted = {"int": _("a whole number"), "float": _("a number"), "dict[str, str]": _("a list of name=value")}.get(
            kind, kind
        )
        raise SetupError(_("The setting `{name}` must be {wanted}.", name=name, wanted=wanted)) from error


def _pair(entry: str) -> tuple[str, str]:
    name, separator, source = entry.partition("=")
    if not separator or not name.strip() or not source.strip():
        raise ValueError(entry)
    return name.strip(), source.strip()


def _to_text(value: str | float | Path | dict[str, str]) -> str:
    return ",".join(f"{key}={item}" for key, item in value.items()) if isinstance(value, dict) else str(value)


def _weights(name: str, table: Mapping[str, str]) -> dict[int, float]:
    try:
        weights = {int(key): float(weight) for key, weight in table.items()}
    except ValueError as error:
        raise SetupError(_("The setting `{name}` must be a list of Discord id = weight.", name=name)) from error
    if not all(LEAST_WEIGHT <= weight <= MOST_WEIGHT for weight in weights.values()):
        raise SetupError(
            _(
                "The weights in `{name}` must be from {least_weight} to {most_weight}.",
                name=name,
                least_weight=LEAST_WEIGHT,
                most_weight=MOST_WEIGHT,
            )
        )
    return weights


def _one_of(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise SetupError(_("The setting `{name}` must be one of {join}.", name=name, join=", ".join(choices)))


def _at_least(name: str, value: float, least: float) -> None:
    if not value >= least:  # refuses NaN too
        raise SetupError(_("The setting `{name}` must be at least {least}.", name=name, least=least))


def _source(source: str) -> str:
    """The folder of a model that ships with the project; any other stays what it is."""
    is_ours = source.startswith("pretrained:")
    return str(PRETRAINED / source.removeprefix("pretrained:")) if is_ours else source


def _here(card: ModelCard) -> ModelCard:
    """The card on the machine that loads the model: only folders and hub names can be loaded."""
    folder = Path(card.source)
    is_on_hub = card.source.count("/") == 1 and not folder.is_absolute()
    return card if folder.is_dir() or is_on_hub else replace(card, problem=card.problem or UNLOADABLE)


def _card(name: str, source: str, loras: Path | None, **more: Any) -> ModelCard:
    card = read_card(name, source, **more)
    return replace(card, loras=LoraFiles(card.loras, loras)) if loras and card.takes_loras else card


def read_card(name: str, source: str, **more: Any) -> ModelCard:
    """The card of a model, given as in the setting ``models``."""
    source, _at, own = source.partition("@")
    source = _source(source)
    if not own:
        return ModelCard.read(name, source, **more)
    said = re.fullmatch(r"(\d+)x(\d+)(?::(\d+)(?::(\d+(?:\.\d+)?))?)?", own)
    if not said:
        raise SetupError(
            _("The model {name!r} has the size {own!r}; write it as name=folder@WIDTHxHEIGHT.", name=name, own=own)
        )
    width, height, steps, guidance = said.groups()
    more |= {"num_inference_steps": int(steps)} if steps else {}
    more |= {"guidance_scale": float(guidance)} if guidance else {}
    return ModelCard.read(name, source, width=int(width), height=int(height), **more)
