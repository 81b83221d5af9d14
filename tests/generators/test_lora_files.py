"""Which LoRA files of a folder are offered with a model."""

# pyright: basic

from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from limner.generators.cards.lora_files import LoraFiles


def test_a_lora_for_another_kind_of_model_is_not_offered(tmp_path: Path) -> None:
    """The width of the words that it reads is that of the model, as far as a file says it."""
    widths = {"right": 768, "xl": 2048, "silent": 0}
    for name, width in widths.items():
        layer = "attn2_to_k" if width else "ff_net"
        tensors = {f"lora_unet_down_blocks_0_{layer}.lora_down.weight": np.zeros((4, width))}
        save_file(tensors, tmp_path / f"{name}.safetensors")
    layer = "lora_unet_down_blocks_0_attn2_to_v"
    save_file({f"{layer}.hada_w1_b": np.zeros((4, 2048))}, tmp_path / "loha.safetensors")
    factors = {f"{layer}.lokr_w1": np.zeros((8, 8)), f"{layer}.lokr_w2_b": np.zeros((4, 96))}
    save_file(factors, tmp_path / "lokr.safetensors")
    save_file({"transformer.single_transformer_blocks.0.x": np.zeros(1)}, tmp_path / "flux.safetensors")
    files = LoraFiles({}, tmp_path, 768)
    assert list(files) == ["lokr", "right", "silent"]
    assert [fault.what.split()[2] for fault in files.faults()] == ["flux", "loha", "xl"]
    assert list(LoraFiles({}, tmp_path, 0)) == ["flux", "silent"]
    assert len(LoraFiles({}, tmp_path, None)) == 6
