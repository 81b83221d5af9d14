"""Finds words without effect: beyond every text encoder's length, or unknown to a model."""

# pyright: basic

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

from limner.generators.added_words import CJK
from limner.generators.language.glossary import FUNCTION_WORDS

ENCODERS = ("", "_2", "_3", "_4")
"""Suffixes of further tokenizers and text encoders of a pipeline."""
_LONG = 10**6
"""More tokens than any text has; a tokenizer without a limit reports 10**30."""
_LETTER = rf"(?:(?!{CJK})\w)"
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*|\d+")


def unread_by(pipe: Any, max_sequence_length: int | None, text: str) -> str:
    """The end of a text that exceeds all text encoders of a diffusers pipeline; empty if unknown.

    CLIP reads its tokenizer's limit (77 tokens), others at most ``max_sequence_length``, the pipeline's own default; a
    prefix that the pipeline adds is not counted.
    """
    start = 0
    for number in ENCODERS:
        tokenizer, encoder = (getattr(pipe, f"{name}{number}", None) for name in ("tokenizer", "text_encoder"))
        if tokenizer is None or encoder is None:
            continue
        if not getattr(tokenizer, "is_fast", False):
            return ""
        is_clip = "CLIP" in type(encoder).__name__
        limit = min(tokenizer.model_max_length, _LONG if is_clip else max_sequence_length or _LONG)
        start = max(start, first_unread(tokenizer, text, limit))
    return unread_from(text, start) if start else ""


def first_unread(tokenizer: Any, text: str, limit: int) -> int:
    """The index of the first character that a fast tokenizer leaves out at ``limit`` tokens."""
    room = limit - tokenizer.num_special_tokens_to_add()
    tokens = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)["offset_mapping"]
    return tokens[room][0] if len(tokens) > room else len(text)


def unread_from(text: str, start: int) -> str:
    """The rest of a text from this index, moved back to the beginning of its word."""
    inside = re.search(rf"{_LETTER}+$", text[:start]) if re.match(_LETTER, text[start:]) else None
    return text[inside.start() if inside else start :].strip(" ,.;:-")


def unknown_words(text: str, known: Collection[str]) -> list[str]:
    """The words of a text that are not among the known lower-case ones, without grammatical words.

    A plural is known with its singular, and the other way round.
    """
    found = (word for word in _WORD.findall(text) if not _is_known(word.lower().replace("’", "'"), known))
    return list(dict.fromkeys(found))


def _is_known(word: str, known: Collection[str]) -> bool:
    word = word.removesuffix("'s")
    forms = {word, f"{word}s", f"{word}es", word.removesuffix("s"), word.removesuffix("es")}
    if word.endswith("ies"):
        forms.add(f"{word[:-3]}y")
    return word in FUNCTION_WORDS["en"] or not forms.isdisjoint(known)
