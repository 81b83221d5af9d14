"""Trains the captioner: a small language model that attends to the image-text model's features of a picture."""

# pyright: basic, reportPrivateImportUsage=false, reportArgumentType=false, reportAttributeAccessIssue=false
# pyright: reportCallIssue=false, reportIndexIssue=false, reportOptionalMemberAccess=false
# pyright: reportOptionalSubscript=false, reportOptionalCall=false, reportOperatorIssue=false, reportReturnType=false
# transformers' and torch's annotations are too loose, and sometimes wrong, for more

from __future__ import annotations

import copy
import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional
from transformers import CLIPTokenizer, GPT2Config, GPT2LMHeadModel, VisionTextDualEncoderModel

from limner.generators.loading import loading
from limner.generators.training.curves import lay_out
from limner.generators.training.data.picture_folder import PictureFolder, to_images
from limner.generators.training.data.text_encoder import LENGTH, build_tokenizer, split_words, token_ids
from limner.generators.training.families.clip import kept_back
from limner.generators.training.loop import Trainer
from limner.generators.training.plan import Loss, Plan
from limner.generators.training.processes import first_alone, once, own_device
from limner.generators.vision.clip import OWN_CAPTIONER, say

PLAN = Plan(samples=160_000, batch=64, learning_rate=2e-3, warmup=100, ema=0.995, decay=0.3)
IGNORED = -100
"""The label of padding, which has no loss; torch's own number."""


def build_captioner(tokenizer: CLIPTokenizer, width: int, *, layers: int = 2, heads: int = 4) -> GPT2LMHeadModel:
    """An untrained decoder with cross-attention to picture states of ``width`` numbers each."""
    return GPT2LMHeadModel(
        GPT2Config(
            vocab_size=len(tokenizer),
            n_positions=LENGTH,
            n_embd=width,
            n_layer=layers,
            n_head=heads,
            add_cross_attention=True,
            resid_pdrop=0.0,  # no dropout: only the training loop draws random numbers, so that a resumed run is exact
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.eos_token_id,
        )
    )


class CaptionerTask:
    """Predicts each caption token by token from the picture states."""

    family = "captioner"
    parts = ()
    progress = 0.0

    def __init__(
        self, captioner: GPT2LMHeadModel, tokenizer: CLIPTokenizer, states: np.ndarray, pictures: PictureFolder
    ) -> None:
        self.network = captioner
        self.size, self.fingerprint = len(pictures) - kept_back(pictures), pictures.fingerprint
        self._tokenizer, self._states, self._pictures = tokenizer, states, pictures
        self._ids = token_ids(tokenizer, [picture.text for picture in pictures.pictures]).short()

    def loss(self, numbers: list[int], random: torch.Generator) -> Loss:
        """Mean cross-entropy of each next token."""
        ids = self._ids[numbers].long()
        said = ids == self._tokenizer.eos_token_id  # padding included
        over = said.cumsum(1) > 1
        seen = torch.from_numpy(self._states[numbers]).float()
        wanted = ids.masked_fill(over, IGNORED)[:, 1:].to(self.network.device)
        ids, seen = ids[:, :-1].to(self.network.device), seen.to(self.network.device)
        read = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}  # causal attention
        found = self.network(**read, encoder_hidden_states=seen, use_cache=False).logits
        return Loss(functional.cross_entropy(found.flatten(0, 1).float(), wanted.flatten(), ignore_index=IGNORED), {})

    @torch.no_grad()
    def sample(self) -> Image.Image:
        """Validation pictures above their generated captions."""
        numbers = list(range(self.size, self.size + min(24, len(self._pictures) - self.size)))
        states = torch.from_numpy(self._states[numbers]).float().to(self.network.device)  # (count, places, numbers)
        ids = say(copy.deepcopy(self.network).eval(), states)
        said = self._tokenizer.batch_decode(ids, skip_special_tokens=True)
        return lay_out(to_images(self._pictures.pixels(numbers)), 8, said)


@torch.no_grad()
def see(model: VisionTextDualEncoderModel, pixels: Tensor) -> Tensor:
    """Picture states (count, places, width) of the image-text model."""
    return model.vision_model(pixels.to(model.device)).last_hidden_state.cpu()


def picture_states(folder: Path, pictures: PictureFolder) -> np.ndarray:
    """Picture states of all pictures by the model in ``folder/image-text``: computed once, and memory-mapped."""
    file = folder / f"states-{_fingerprint(folder)}.npy"
    if not file.is_file():
        with loading():
            model = VisionTextDualEncoderModel.from_pretrained(
                folder / "image-text", dtype=torch.float32, use_safetensors=True
            )
        model = model.eval().to(own_device())
        shape = see(model, pictures.pixels([0])).shape[1:]
        part = file.with_suffix(".part")
        rows = np.lib.format.open_memmap(part, mode="w+", dtype=np.float16, shape=(len(pictures), *shape))
        for at in range(0, len(pictures), 64):
            rows[at : at + 64] = see(model, pictures.pixels(range(at, min(at + 64, len(pictures))))).numpy()
        rows.flush()
        part.rename(file)
    return np.load(file, mmap_mode="r")


def _fingerprint(folder: Path) -> str:
    """Of the model's weights: after more training its states differ, and need another captioner."""
    return hashlib.sha256((folder / "image-text" / "model.safetensors").read_bytes()).hexdigest()[:16]


def caption_tokenizer(texts: Sequence[str]) -> CLIPTokenizer:
    """A tokenizer of the captions' own words."""
    return build_tokenizer(sorted(split_words(texts)))


def train_captioner(data: Path, folder: Path, plan: Plan, minutes: float | None) -> None:
    """Train for the model in ``folder/image-text`` on the captioned pictures in ``data``.

    The result is in ``folder/image-text/captioner``: a GPT2LMHeadModel that attends to the model's picture states.
    """
    torch.manual_seed(plan.seed)
    pictures = PictureFolder(data)
    with first_alone():
        states = picture_states(folder, pictures)
    tokenizer = caption_tokenizer([picture.text for picture in pictures.pictures])
    untrained = build_captioner(tokenizer, states.shape[-1]).to(own_device())
    task = CaptionerTask(untrained, tokenizer, states, pictures)
    trainer = Trainer(task, plan, folder / f"captioner-{_fingerprint(folder)}")
    trainer.run(minutes=minutes)
    if trainer.step:  # otherwise it had no time to learn
        trainer.use_average()
        once(_save, task.network, tokenizer, folder / "image-text" / OWN_CAPTIONER)


def _save(captioner: GPT2LMHeadModel, tokenizer: CLIPTokenizer, folder: Path) -> None:
    captioner.half().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
