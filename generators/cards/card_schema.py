"""The schema of a model's limner.json: each field's type and range."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, cast

from limner.generators.cards.guided_part import read_part
from limner.generators.cards.skip_rules import SkipRule
from limner.generators.sentences import sentence
from limner.generators.text_files import BadText, line_of, parse_json, read_text

NUMBERS = {
    "width": (int, 8, 16_384),
    "height": (int, 8, 16_384),
    "multiple_of": (int, 1, 1024),
    "least_side": (int, 0, 16_384),
    "num_inference_steps": (int, 1, 1000),
    "guidance_scale": (float, 0, 100),
    "most_steps": (int, 1, 1000),
    "max_added_words": (int, 0, 1000),
    "style_layers": (int, 0, 16),
    "max_tokens": (int, 1, 1_000_000),
    "subtle_strength": (float, 0.05, 1),
    "strong_strength": (float, 0.05, 1),
    "enhance_strength": (float, 0.05, 1),
}
"""Number fields: whether they are whole, and their range."""
QUANTIZED = ("int8", "fp8", "nf4")
ATTENTION = (
    *("flex", "_native_cudnn", "_native_efficient", "_native_flash", "_native_math", "_native_npu", "_native_xla"),
    *("flash", "flash_varlen", "_flash_3", "_flash_varlen_3", "xformers", "sage", "sage_varlen"),
    *("_sage_qk_int8_pv_fp8_cuda", "_sage_qk_int8_pv_fp8_cuda_sm90"),
    *("_sage_qk_int8_pv_fp16_cuda", "_sage_qk_int8_pv_fp16_triton"),
)
"""diffusers' attention backends beside torch's, without those whose kernels it downloads (`..._hub`)."""
"""How weights can be kept in fewer bits."""
SWITCHES = (
    *("english_only", "restyles", "leaves_out", "starts", "masks", "needs_picture", "other_sizes", "is_tryout"),
    "edits",
    *("has_steps", "has_guidance", "steers", "chunks", "takes_loras", "zero_snr", "streams", "references"),
)
CHOICES = {"dialect": ("sentences", "tags"), "prediction_type": ("epsilon", "v_prediction")}
"""Text fields that have one of some values."""
TEXTS = {"title": 100, "kind": 64, "image_encoder": 500, "vae": 500, "trigger_words": 80, "images_url": 2000}
"""Text fields and their most characters."""
QUALITY = {"num_inference_steps": (int, 1, 1000), "scale": (float, 0.25, 2), "guidance_scale": (float, 0, 100)}
NAMES_OF_QUALITY = ("scheduler", "lora")
CHOICES_OF_QUALITY = {"skipping": tuple(SkipRule)}
"""Fields of the tables draft and fine: numbers with their ranges, and names."""
TABLES = {
    "loras": sentence("names and files"),
    "lora_words": sentence("names and words"),
    "controlnets": sentence("kinds and folders"),
    "adapters": sentence("roles and files"),
}
"""Fields that are tables of texts, and what they hold."""
WRONG = sentence("{file} is wrong in line {line}: {name} must be {wanted}.")
NUMBER, WHOLE = sentence("a number from {least} to {most}"), sentence("a whole number from {least} to {most}")


def read_table(file: Path) -> dict[str, Any]:
    """The object in a JSON file of a model's folder; empty without the file.

    Raises:
        BadText: it cannot be read, or is no object.
    """
    return _table(file)[0]


def read_limner_json(file: Path) -> dict[str, Any]:
    """The known fields of a limner.json; raises BadText with the line of a wrong one."""
    table, text = _table(file)
    for name, value in table.items():
        if wanted := _wanted(name, value):
            line = line_of(text, name)
            raise BadText(sentence(WRONG, file=file, line=line, name=name, wanted=wanted))
    return table


def _table(file: Path) -> tuple[dict[str, Any], str]:
    if not file.is_file():
        return {}, ""
    text = read_text(file, str(file))
    table = parse_json(text, str(file))
    if not isinstance(table, dict):
        raise BadText(sentence('{file} must be a table such as {{"width": 512}}.', file=file))
    return cast("dict[str, Any]", table), text


def _wanted(name: str, value: Any) -> str | None:
    """The expected value of a field, if its value is wrong."""
    if name in NUMBERS:
        kind, least, most = NUMBERS[name]
        is_right = _is_number(value, kind, least, most)
        return None if is_right else sentence(WHOLE if kind is int else NUMBER, least=least, most=most)
    if name in SWITCHES:
        return None if isinstance(value, bool) else sentence("true or false")
    if name in CHOICES:
        return (
            None
            if value in CHOICES[name]
            else sentence("{one} or {other}", **dict(zip(("one", "other"), CHOICES[name], strict=True)))
        )
    if name == "quantize":
        return None if value in QUANTIZED else sentence("int8, fp8 or nf4")
    if name in TEXTS:
        is_right = isinstance(value, str) and len(value) <= TEXTS[name]
        return None if is_right else sentence("a text of at most {most} characters", most=TEXTS[name])
    if name in ("draft", "fine"):
        return None if _is_quality(value) else sentence('a table such as {"num_inference_steps": 8, "scale": 0.75}')
    if name == "adapter_blocks":
        roles = cast("dict[str, Any]", value).values() if isinstance(value, dict) else [None]
        return (
            None
            if all(map(_is_blocks, roles))
            else sentence("a table of numbers, as diffusers names the blocks of a denoiser")
        )
    if name in TABLES:
        texts = cast("dict[str, Any]", value).values() if isinstance(value, dict) else [None]
        return (
            None if all(isinstance(text, str) for text in texts) else sentence("a table of {what}", what=TABLES[name])
        )
    return None


def _is_number(value: Any, kind: type, least: float, most: float) -> bool:
    is_number = isinstance(value, int if kind is int else int | float) and not isinstance(value, bool)
    return is_number and math.isfinite(value) and least <= value <= most


def _is_blocks(value: Any) -> bool:
    """Whether it is a number, or tables and lists of numbers, as diffusers names the blocks of a denoiser."""
    if isinstance(value, dict | list):
        parts = cast("dict[str, Any]", value).values() if isinstance(value, dict) else cast("list[Any]", value)
        return all(map(_is_blocks, parts))
    return _is_number(value, float, 0, 10)


def _is_quality(value: Any) -> bool:
    if not isinstance(value, dict):
        return False
    said = cast("dict[str, Any]", value)
    return all(
        one in CHOICES_OF_QUALITY[name]
        if name in CHOICES_OF_QUALITY
        else isinstance(one, str)
        if name in NAMES_OF_QUALITY
        else isinstance(one, str) and read_part(one) is not None
        if name == "guided"
        else name in QUALITY and _is_number(one, *QUALITY[name])
        for name, one in said.items()
    )
