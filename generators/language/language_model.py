# pyright: basic
"""A causal language model through transformers: the small one that ships, or any instruct model."""

from __future__ import annotations

import contextlib
import copy
import random
import tempfile
import threading
import time
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer, DynamicCache

from limner.generators.device import pick_device
from limner.generators.language.bundled_model import unpacked
from limner.generators.loading import loading

if TYPE_CHECKING:
    from collections.abc import Callable

SHORTEST_DRAW = 12
"""Fewest tokens that are sampled, so that a phrase within the fewest words is among them."""

TEMPERATURE, TOP_K, REPETITION_PENALTY = 0.8, 40, 1.15

EXAMPLES = """\
Each line describes a picture. It repeats the idea and adds light, texture, composition and mood.

Idea: a red fox in snow
Picture: a red fox in snow, thick fur with fine details, soft morning light, pale background, shallow depth of field.

Idea: two old robots playing cards, no windows
Picture: two old robots playing cards, no windows, worn metal surfaces, warm glow from above, deep shadows, tense mood.

Idea: logo for a bakery called Miel
Picture: logo for a bakery called Miel, simple flat shapes, clean bold outlines, even spacing, plain background.

Idea: a castle at night, watercolour
Picture: a castle at night, watercolour, soft glow, layered shades, uneven edges, cool tones, quiet atmosphere.

Idea: mountain lake
Picture: mountain lake, still reflections, layered shapes in the distance, clear light, wide view, serene atmosphere.

"""

LINKS = "and of in on with from across over under through behind around against"
QUALITIES = (
    "soft hard gentle warm cool cold deep pale faint strong subtle rich vivid clear dim bright golden polished smooth "
    "rough worn weathered clean crisp sharp fine delicate intricate thick thin heavy dense loose bold simple plain "
    "flat round curved even uneven layered textured metallic transparent glossy shiny sparkling glowing reflected "
    "saturated symmetrical balanced centered close wide low high blurred shallow cinematic dramatic mysterious calm "
    "quiet peaceful serene playful cheerful lively gloomy magical tense lonely elegant graceful rustic vintage modern "
    "realistic natural atmospheric floating drifting scattered"
)
THINGS = (
    "light lighting glow shadow shadows shade highlights beams rays fog mist haze dust texture textures surface "
    "surfaces grain lines outlines edges shapes details patterns colors tones palette "
    "contrast hues gradient background foreground distance horizon composition framing angle view perspective focus "
    "depth field blur lens mood atmosphere reflections ripples scale spacing style motion detail"
)


class LanguageModel:
    """A loaded model that continues a description. Calls come from one thread at a time."""

    def __init__(self, model: Any, tokenizer: Any, *, bundled: Path | None) -> None:
        self._model = model.eval()
        self._tokenizer = tokenizer
        self._phrases = PhraseFilter(tokenizer) if bundled else None
        self._examples = self._read_once(EXAMPLES, bundled) if bundled else None

    @classmethod
    def load(cls, model: str, cache: Path, *, device: str = "cpu", waits: bool = False) -> LanguageModel:
        """Load a folder or hub name of an instruct model, or the bundled one where ``model`` is empty.

        The bundled model's first load takes `CONVERTING_SECONDS` or longer and writes 260 MB into ``cache``; other
        models can be loaded meanwhile. Later loads take about a second. On the CPU the numbers are float32: bfloat16
        is ten times slower there.

        Args:
            model: the folder or hub name.
            cache: a folder for the bundled model's converted copy.
            device: where it writes, as `pick_device` names it.
            waits: it waits in main memory until it is moved there.
        """
        place = pick_device(device)
        source = model or unpacked(cache)
        with loading():
            if not model:
                _use_one_thread()
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                source, dtype=torch.float32 if place.type == "cpu" else "auto", use_safetensors=True
            )
            tokenizer = AutoTokenizer.from_pretrained(source)
        return cls(loaded if waits else loaded.to(place), tokenizer, bundled=None if model else Path(source))

    def move(self, device: str) -> None:
        """Move the weights to a device."""
        self._model.to(pick_device(device))

    def describe(self, start: str, *, orders: str, seed: int, max_words: int, seconds: float) -> str:
        """Continue ``start`` with about ``max_words`` words on the same line; the same seed gives the same words.

        Raises:
            TimeoutError: it took longer than ``seconds``.
        """
        deadline = time.monotonic() + seconds
        if self._phrases:
            cache = copy.deepcopy(self._examples)
            prompt = f"Idea: {start}\nPicture: {start},"
            qualities = self._phrases.qualities
            if max_words == 1:  # too few words for a phrase
                word = self._sample(prompt, cache, lambda _: qualities, seed, 1, deadline)
                return self._tokenizer.decode(word).strip()
            room = max(max_words, SHORTEST_DRAW)
            written = self._sample(prompt, cache, self._phrases.following, seed, room, deadline)
            return self._phrases.complete(written)
        # About two tokens a word in the languages that tokenizers know least.
        written = self._sample(self._chat(start, orders), None, None, seed, 2 * max_words, deadline)
        return self._tokenizer.decode(written, skip_special_tokens=True)

    def _chat(self, start: str, orders: str) -> str:
        if not self._tokenizer.chat_template:
            return f"{EXAMPLES}Idea: {start}\nPicture: {start},"
        messages = [{"role": "user", "content": f"{orders}\n\nIdea: {start}"}]
        # Reasoning templates close their think block here; others ignore the argument.
        opened = self._tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=True, enable_thinking=False
        )
        return f"{opened}{start},"

    def _read_once(self, text: str, folder: Path) -> Any:
        """The same as `_read`, kept in a file of ``folder`` for later starts: it takes half a second of a processor."""
        file = folder / f"read-{zlib.crc32(f'{text}{torch.__version__}'.encode()):08x}.attention"
        try:
            kept = load_file(file)
            layers = [(kept[f"keys.{number}"], kept[f"values.{number}"]) for number in range(len(kept) // 2)]
            return DynamicCache(layers)
        except (OSError, SafetensorError, KeyError):
            cache = self._read(text)
        parts = {
            f"{name}.{number}": getattr(layer, name).contiguous()
            for number, layer in enumerate(cache.layers)
            for name in ("keys", "values")
        }
        with contextlib.suppress(OSError, SafetensorError), tempfile.TemporaryDirectory(dir=folder) as draft:
            save_file(parts, Path(draft) / file.name)
            (Path(draft) / file.name).replace(file)
        return cache

    @torch.inference_mode()
    def _read(self, text: str) -> Any:
        """The attention cache after ``text``: the examples are processed once, not for every idea."""
        ids = self._tokenizer(text, return_tensors="pt").input_ids
        return self._model(ids, use_cache=True, logits_to_keep=1).past_key_values

    @torch.inference_mode()
    def _sample(
        self,
        prompt: str,
        cache: Any,
        following: Callable[[list[int]], list[int]] | None,
        seed: int,
        limit: int,
        deadline: float,
    ) -> list[int]:
        """Sample tokens until the line ends, with a generator of its own: threads share torch's global one."""
        dice = random.Random(seed)
        step = self._tokenizer(prompt, return_tensors="pt", add_special_tokens=False).input_ids.to(self._model.device)
        seen = set(step[0].tolist())
        written: list[int] = []
        while len(written) < limit:
            if time.monotonic() > deadline:
                raise TimeoutError
            out = self._model(step, past_key_values=cache, use_cache=True, logits_to_keep=1)
            cache, logits = out.past_key_values, out.logits[0, -1].float().cpu()
            allowed = following(written) if following else None
            token = _draw(logits, allowed, sorted(seen | set(written)), dice)
            if token == self._tokenizer.eos_token_id or "\n" in self._tokenizer.decode([token]):
                break
            if self._phrases and token == self._phrases.stop:
                break
            written.append(token)
            step = torch.tensor([[token]], device=self._model.device)
        return written


class PhraseFilter:
    """Restricts the next word, so that the small model adds only the look of a picture and never a new subject.

    Without it, 135 million parameters put a glass of wine into the bakery and a second cat on the sofa. Here a phrase
    is qualities and a thing ("soft light"), perhaps linked to another ("deep shadows in the distance"); no word twice.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._word: dict[int, str] = {}
        self.links, self.qualities, self.things = (self._tokens(tokenizer, w) for w in (LINKS, QUALITIES, THINGS))
        self.comma, self.stop = (tokenizer(mark, add_special_tokens=False).input_ids[0] for mark in (",", "."))

    def _tokens(self, tokenizer: Any, words: str) -> list[int]:
        ids = {word: tokenizer(f" {word}", add_special_tokens=False).input_ids for word in words.split()}
        single = {tokens[0]: word for word, tokens in ids.items() if len(tokens) == 1}
        self._word |= single
        return list(single)

    def following(self, written: list[int]) -> list[int]:
        """The tokens allowed after those written so far."""
        phrase = _after_last(written, self.comma)
        fresh = [token for token in self.qualities + self.things if token not in written]
        if not phrase or phrase[-1] in self.links:
            return fresh
        if phrase[-1] in self.qualities:
            return fresh if len(phrase) < 3 else [token for token in fresh if token in self.things]
        ends = [self.comma, self.stop] if written.count(self.comma) >= 2 else [self.comma]
        if len(phrase) == 1:
            return self.links
        return ends + ([] if any(token in self.links for token in phrase) else self.links)

    def complete(self, written: list[int]) -> str:
        """The written words, without a last phrase that lacks its noun."""
        last = _after_last(written, self.comma)
        whole = written if last and last[-1] in self.things and len(last) > 1 else written[: len(written) - len(last)]
        return " ".join(self._word.get(token, ",") for token in whole).replace(" ,", ",").strip(" ,")


def _use_one_thread() -> None:
    """Let only this thread compute without helper threads.

    A small model is as fast that way (2 s a description on a busy machine), and five times slower with two threads that
    wait for each other during painting.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    # The number is per thread, but later threads inherit it: another thread restores theirs.
    other = threading.Thread(target=torch.set_num_threads, args=(threads,))
    other.start()
    other.join()


def _draw(logits: torch.Tensor, allowed: list[int] | None, seen: list[int], dice: random.Random) -> int:
    ids = torch.tensor(allowed) if allowed else torch.arange(len(logits))
    if not allowed:
        logits[seen] = torch.where(
            logits[seen] > 0, logits[seen] / REPETITION_PENALTY, logits[seen] * REPETITION_PENALTY
        )
    best = (logits[ids] / TEMPERATURE).topk(min(TOP_K, len(ids)))
    choice = dice.choices(range(len(best.indices)), best.values.softmax(0).double().tolist())[0]
    return int(ids[best.indices[choice]])


def _after_last(written: list[int], mark: int) -> list[int]:
    return written[len(written) - written[::-1].index(mark) :] if mark in written else written
