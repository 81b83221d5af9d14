"""The tiny parts of pipelines that read words, and pictures, with Qwen's language model, built from a seed."""

# pyright: basic, reportPrivateImportUsage=false, reportArgumentType=false, reportAttributeAccessIssue=false
# pyright: reportCallIssue=false, reportIndexIssue=false
# diffusers' annotations are too loose, and sometimes wrong, for more

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from diffusers import AutoencoderKLQwenImage, FlowMatchEulerDiscreteScheduler, QwenImageTransformer2DModel
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration, Qwen2Tokenizer

from limner.generators.diffusion.picture_processors import PictureProcessor
from tests.tiny_models import LETTERS

QWEN_TOKENS = [*LETTERS, *LETTERS.upper()[:26], *"Ġ:?()<>|/_", "Ċ", "<|endoftext|>", "<|im_start|>", "<|im_end|>"]
CHAT = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{{ m.content if m.content is string else m.content[0].text }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
IMAGE_TOKEN = "<|image_pad|>"
PICTURE_TOKENS = ("<|vision_start|>", IMAGE_TOKEN, "<|vision_end|>")
"""Where Qwen's language model sees a part of a picture."""


def tiny_qwen_parts(widths: list[int], pictures: Sequence[str] = (), **transformer: Any) -> dict[str, Any]:
    """The parts of Qwen-Image: an autoencoder of so many levels, and a tokenizer with tokens for pictures.

    ``transformer`` is said to the denoiser.
    """
    tokenizer = tiny_qwen_tokenizer()
    tokenizer.add_tokens(list(pictures), special_tokens=True)
    denoiser = QwenImageTransformer2DModel(
        in_channels=16,
        out_channels=4,
        num_layers=2,
        attention_head_dim=16,
        num_attention_heads=3,
        joint_attention_dim=16,
        axes_dims_rope=(8, 4, 4),
        **transformer,
    )
    vae = AutoencoderKLQwenImage(
        base_dim=4,
        z_dim=4,
        dim_mult=widths,
        num_res_blocks=1,
        temperal_downsample=[False] * (len(widths) - 2) + [True],
        latents_mean=[0.0] * 4,
        latents_std=[1.0] * 4,
    )
    words = {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "rope_scaling": {"mrope_section": [1, 1, 2], "rope_type": "default", "type": "default"},
        "vocab_size": len(tokenizer),
    }
    seen = {"depth": 1, "hidden_size": 16, "intermediate_size": 16, "num_heads": 2, "out_hidden_size": 16}
    marks = {"image_token_id": tokenizer.convert_tokens_to_ids(IMAGE_TOKEN)} if pictures else {}
    config = Qwen2_5_VLConfig(text_config=words, vision_config=seen, vocab_size=len(tokenizer), **marks)
    return {
        "transformer": denoiser,
        "vae": vae,
        "text_encoder": Qwen2_5_VLForConditionalGeneration(config),
        "tokenizer": tokenizer,
        "scheduler": FlowMatchEulerDiscreteScheduler(),
    }


def name_processors(folder: Path) -> None:
    """Let a pipeline's index call Qwen's processor as published models do."""
    index = folder / "model_index.json"
    named = json.loads(index.read_text())
    own = [name for name, part in named.items() if isinstance(part, list) and PictureProcessor.__name__ in part]
    index.write_text(json.dumps(named | {name: ["transformers", "Qwen2VLProcessor"] for name in own}))


def tiny_qwen_tokenizer() -> Qwen2Tokenizer:
    vocabulary = {token: number for number, token in enumerate(QWEN_TOKENS)}
    ends = {"unk_token": "<|endoftext|>", "pad_token": "<|endoftext|>", "eos_token": "<|im_end|>"}
    tokenizer = Qwen2Tokenizer(vocab=vocabulary, merges=[], **ends)
    tokenizer.chat_template = CHAT
    return tokenizer
