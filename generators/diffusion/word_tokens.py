"""Which tokens a model's denoiser reads for each word of a prompt."""

# pyright: basic

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from limner.generators.added_words import CJK
from limner.generators.diffusion.attention_maps import WordTokens
from limner.generators.diffusion.weighted_prompts import places_of
from limner.generators.language.glossary import FUNCTION_WORDS
from limner.generators.weights import parts

if TYPE_CHECKING:
    from diffusers.pipelines.pipeline_utils import DiffusionPipeline

MOST_WORDS = 24
"""Words of a prompt that have a map, the first ones."""
_LETTER = rf"(?:(?!{CJK})[^\W_])"
WORD = re.compile(rf"{CJK}+|{_LETTER}+(?:['’-]{_LETTER}+)*")


def is_content(word: str) -> bool:
    """Whether a word is no grammatical one."""
    return word.lower().replace("’", "'") not in FUNCTION_WORDS["en"]


def tokens_of_prompt(pipe: DiffusionPipeline, prompt: str, limit: int | None) -> list[WordTokens]:
    """The content words of a prompt in order, with their tokens; those that no text encoder reads are left out.

    Args:
        pipe: of Stable Diffusion 1, 2, XL or 3, or FLUX.
        prompt: read as it is.
        limit: the most tokens of the T5 encoder.
    """
    words = [word for word in WORD.finditer(prompt) if is_content(word[0])]
    places: defaultdict[int, list[int]] = defaultdict(list)
    for first, tokenizer, most in _readers(pipe, limit):
        read = tokenizer(prompt, truncation=True, max_length=most, return_offsets_mapping=True)["offset_mapping"]
        for place, (start, end) in enumerate(read, first):
            for number, word in enumerate(words):
                if max(start, word.start()) < min(end, word.end()):
                    places[number].append(place)
    return [WordTokens(words[number][0], tuple(places[number])) for number in sorted(places)][:MOST_WORDS]


def tokens_of_weighted(pipe: DiffusionPipeline, prompt: str, *, in_chunks: bool) -> list[WordTokens]:
    """The same of a prompt that is read with weights and BREAKs, or in chunks (`weighted_prompts.embeddings`)."""
    pieces = [[piece for words, _ in fragments for piece in _pieces(words)] for fragments in parts(prompt)]
    found = places_of(pipe, pieces, in_chunks=in_chunks)
    words = (WordTokens(piece, tuple(places)) for piece, places in found if WORD.fullmatch(piece))
    return [one for one in words if one.places and is_content(one.word)][:MOST_WORDS]


def _pieces(text: str) -> Iterator[str]:
    """The words of a text, and what is between them."""
    here = 0
    for word in WORD.finditer(text):
        yield from (text[here : word.start()], word[0])
        here = word.end()
    yield text[here:]


def _readers(pipe: Any, limit: int | None) -> Iterator[tuple[int, Any, int | None]]:
    """Where the tokens of each encoder begin among those that the denoiser reads, its tokenizer and its length."""
    name = type(pipe).__name__
    if name.startswith("Flux"):
        yield 0, pipe.tokenizer_2, limit
    elif name.startswith("StableDiffusion3"):
        yield 0, pipe.tokenizer, pipe.tokenizer_max_length
        if pipe.text_encoder_3 is not None:
            yield pipe.tokenizer_max_length, pipe.tokenizer_3, limit
    else:
        tokenizer = getattr(pipe, "tokenizer", None) or pipe.tokenizer_2
        yield 0, tokenizer, tokenizer.model_max_length
