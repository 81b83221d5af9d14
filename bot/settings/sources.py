"""Reads settings from the environment and `limner.toml`: names, old names, and each value's type."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from limner.bot.errors import SetupError
from limner.bot.settings.fields import SettingFields, setting_names
from limner.bot.translation import N_, _
from limner.generators.text_files import BadText, read_toml

NEAR = N_("{where} sets {written}, which is not a setting; did you mean {near}?")

KEY = "encryption_key"
KEY_IN_FILE = N_(
    "The settings file {path} holds `encryption_key`, and lies beside what the key encrypts; give the key as "
    "LIMNER_ENCRYPTION_KEY in the environment."
)

RENAMED = {
    "eyes": "safety_classifier",
    "eyes_unwanted": "safety_classifier_unwanted",
    "eyes_wanted": "safety_classifier_wanted",
    "eyes_timeout": "safety_classifier_timeout",
    "reader": "image_text_model",
    "reader_device": "image_text_device",
}
"""Old names of settings, which version 0.2 still reads; `limner doctor` names the new ones."""


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


def read_file(path: Path) -> dict[str, Any]:
    """The settings in a file, by their new names; raises SetupError for a name that is none."""
    values = _in_file(path)
    for name in values:
        _known(name, _("The settings file {path}", path=path.name), name)
    if KEY in values:
        raise SetupError(_(KEY_IN_FILE, path=path.name))
    return _by_new_names(values)


def read_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The settings in the variables `LIMNER_...`, in the same way."""
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
    if name in setting_names() or name in RENAMED:
        return
    close = difflib.get_close_matches(name, setting_names(), n=1)
    if not close:
        raise SetupError(_("{where} sets {written}, which is not a setting.", where=where, written=written))
    near = written.replace(name, close[0]).replace(name.upper(), close[0].upper())
    raise SetupError(_(NEAR, where=where, written=written, near=near))


def convert(name: str, value: Any) -> Any:
    """A setting's value in its type; raises SetupError."""
    kind = {item.name: str(item.type) for item in fields(SettingFields)}[name]
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


def to_text(value: str | float | Path | dict[str, str]) -> str:
    """A value as it is written in the environment."""
    return ",".join(f"{key}={item}" for key, item in value.items()) if isinstance(value, dict) else str(value)
