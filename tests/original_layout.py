"""Writes diffusers pipelines as checkpoints: one file, with the tensors named as the models' makers named them."""

# pyright: basic

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType

import torch
from diffusers.pipelines.pipeline_utils import DiffusionPipeline
from safetensors.torch import save_file
from torch import Tensor

Tensors = Mapping[str, Tensor]

_UNET = [
    ("time_embedding.linear_1", "time_embed.0"),
    ("time_embedding.linear_2", "time_embed.2"),
    ("add_embedding.linear_1", "label_emb.0.0"),
    ("add_embedding.linear_2", "label_emb.0.2"),
    ("conv_in", "input_blocks.0.0"),
    ("conv_norm_out", "out.0"),
    ("conv_out", "out.2"),
]
_RESNET = [
    ("norm1", "in_layers.0"),
    ("conv1", "in_layers.2"),
    ("norm2", "out_layers.0"),
    ("conv2", "out_layers.3"),
    ("time_emb_proj", "emb_layers.1"),
    ("conv_shortcut", "skip_connection"),
]
_OPEN_CLIP = [
    ("embeddings.position_embedding.weight", "positional_embedding"),
    ("embeddings.token_embedding", "token_embedding"),
    ("final_layer_norm", "ln_final"),
    ("encoder.layers.", "transformer.resblocks."),
    ("layer_norm1", "ln_1"),
    ("layer_norm2", "ln_2"),
    ("mlp.fc1", "mlp.c_fc"),
    ("mlp.fc2", "mlp.c_proj"),
    ("self_attn", "attn"),
]
_VAE_ATTENTION = [("group_norm", "norm"), ("to_q", "q"), ("to_k", "k"), ("to_v", "v"), ("to_out.0", "proj_out")]


def write_checkpoint(
    folder: Path,
    file: Path,
    *,
    without: Iterable[str] = (),
    open_clip: bool = False,
    more: Tensors = MappingProxyType({}),
) -> Path:
    """Write a pipeline's folder as the checkpoint ``file``, and its configuration and tokenizers beside it.

    Args:
        folder: a diffusers folder of Stable Diffusion 1, 2, XL, XL's refiner or 3.
        file: where the checkpoint goes.
        without: beginnings of the names of tensors that are left out of the file.
        open_clip: whether its only text encoder is written as OpenCLIP's, as in Stable Diffusion 2.
        more: other tensors of the file, by name.
    """
    pipe = DiffusionPipeline.from_pretrained(folder, use_safetensors=True, local_files_only=True)
    parts = {name: part.state_dict() for name, part in pipe.components.items() if isinstance(part, torch.nn.Module)}
    tensors = checkpoint_tensors(type(pipe).__name__, parts, open_clip=open_clip)
    file.parent.mkdir(parents=True, exist_ok=True)
    kept = {name: tensor for name, tensor in tensors.items() if not name.startswith(tuple(without))}
    save_file({**kept, **more}, file)
    shutil.copytree(folder, file.with_suffix(""), ignore=shutil.ignore_patterns("*.safetensors"))
    return file


def checkpoint_tensors(pipeline: str, parts: Mapping[str, Tensors], *, open_clip: bool) -> dict[str, Tensor]:
    """The tensors of a checkpoint, from the state dictionaries of a pipeline's parts."""
    found: dict[str, Tensor] = {}
    for name, tensors in parts.items():
        written = _part(pipeline, name, tensors, is_alone="text_encoder" not in parts, open_clip=open_clip)
        found |= {key: tensor.contiguous().clone() for key, tensor in written.items()}
    return found


def _part(pipeline: str, name: str, tensors: Tensors, *, is_alone: bool, open_clip: bool) -> dict[str, Tensor]:
    if name == "vae":
        return _named("first_stage_model.", _vae(tensors))
    if name == "unet":
        return _named("model.diffusion_model.", _unet(tensors))
    if name == "transformer":
        write = _flux if pipeline.startswith("Flux") else _sd3
        return _named("model.diffusion_model.", write(tensors))
    if pipeline.startswith(("StableDiffusion3", "Flux")):
        return _flow_encoder(pipeline, name, tensors)
    if name == "text_encoder_2":
        return _named(f"conditioner.embedders.{0 if is_alone else 1}.model.", _open_clip(tensors))
    if "XL" in pipeline:
        return _named("conditioner.embedders.0.transformer.", _wrapped(tensors))
    if open_clip:
        return _named("cond_stage_model.model.", _open_clip(tensors))
    return _named("cond_stage_model.transformer.", _wrapped(tensors))


def _flow_encoder(pipeline: str, name: str, tensors: Tensors) -> dict[str, Tensor]:
    called = {"text_encoder": "clip_l", "text_encoder_2": "clip_g", "text_encoder_3": "t5xxl"}
    if pipeline.startswith("Flux"):
        called["text_encoder_2"] = "t5xxl"
    is_t5 = called[name] == "t5xxl"
    return _named(f"text_encoders.{called[name]}.transformer.", tensors if is_t5 else _wrapped(tensors))


def _named(prefix: str, tensors: Tensors) -> dict[str, Tensor]:
    return {prefix + name: tensor for name, tensor in tensors.items()}


def _wrapped(tensors: Tensors) -> dict[str, Tensor]:
    """CLIP's tensors as they were called before transformers 5.6 unwrapped them."""
    inner = ("embeddings.", "encoder.", "final_layer_norm.")
    return {f"text_model.{name}" if name.startswith(inner) else name: tensor for name, tensor in tensors.items()}


def _renamed(name: str, pairs: Iterable[tuple[str, str]]) -> str:
    for ours, theirs in pairs:
        name = name.replace(ours, theirs)
    return name


def _unet(tensors: Tensors) -> dict[str, Tensor]:
    layers = 1 + max(int(name.split(".")[3]) for name in tensors if name.startswith("down_blocks.0.resnets."))
    return {_unet_name(name, tensors, layers): tensor for name, tensor in tensors.items()}


def _unet_name(name: str, tensors: Tensors, layers: int) -> str:
    side, *rest = name.split(".")
    if side == "mid_block":
        number = 1 if rest[0] == "attentions" else 2 * int(rest[1])
        return f"middle_block.{number}.{_inner(rest[0], rest[2:])}"
    if side not in ("down_blocks", "up_blocks"):
        return _renamed(name, _UNET)
    block, kind, number = int(rest[0]), rest[1], int(rest[2])
    if kind == "downsamplers":
        return f"input_blocks.{(layers + 1) * (block + 1)}.0.op.{rest[-1]}"
    if kind == "upsamplers":
        has_attention = any(key.startswith(f"up_blocks.{block}.attentions.") for key in tensors)
        return f"output_blocks.{(layers + 1) * block + layers}.{1 + has_attention}.conv.{rest[-1]}"
    place = (layers + 1) * block + number + (side == "down_blocks")
    blocks = "input_blocks" if side == "down_blocks" else "output_blocks"
    return f"{blocks}.{place}.{int(kind == 'attentions')}.{_inner(kind, rest[3:])}"


def _inner(kind: str, rest: list[str]) -> str:
    name = ".".join(rest)
    return _renamed(name, _RESNET) if kind == "resnets" else name


def _vae(tensors: Tensors) -> dict[str, Tensor]:
    ups = 1 + max(int(name.split(".")[2]) for name in tensors if name.startswith("decoder.up_blocks."))
    found: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        is_attention = ".attentions." in name
        matrix = is_attention and tensor.ndim == 2
        found[_vae_name(name, ups)] = tensor[:, :, None, None] if matrix else tensor
    return found


def _vae_name(name: str, ups: int) -> str:
    coder, *rest = name.split(".")
    if rest[0] == "mid_block" and rest[1] == "attentions":
        return f"{coder}.mid.attn_1.{_renamed('.'.join(rest[3:]), _VAE_ATTENTION)}"
    if rest[0] == "mid_block":
        return f"{coder}.mid.block_{int(rest[2]) + 1}.{'.'.join(rest[3:])}".replace("conv_shortcut", "nin_shortcut")
    if rest[0] in ("down_blocks", "up_blocks"):
        side = rest[0].removesuffix("_blocks")
        level = int(rest[1]) if side == "down" else ups - 1 - int(rest[1])
        if rest[2].endswith("samplers"):
            return f"{coder}.{side}.{level}.{side}sample.conv.{rest[-1]}"
        inner = ".".join(rest[4:]).replace("conv_shortcut", "nin_shortcut")
        return f"{coder}.{side}.{level}.block.{rest[3]}.{inner}"
    return name.replace("conv_norm_out", "norm_out")


def _open_clip(tensors: Tensors) -> dict[str, Tensor]:
    plain = {name.removeprefix("text_model."): tensor for name, tensor in tensors.items()}
    found: dict[str, Tensor] = {}
    for name, tensor in plain.items():
        if name == "text_projection.weight":
            found["text_projection"] = tensor.T
        elif ".q_proj." in name:
            all_three = torch.cat([plain[name.replace("q_proj", one)] for one in ("q_proj", "k_proj", "v_proj")])
            found[_renamed(name, _OPEN_CLIP).replace("q_proj.", "in_proj_")] = all_three
        elif ".k_proj." not in name and ".v_proj." not in name:
            found[_renamed(name, _OPEN_CLIP)] = tensor
    if "text_projection" not in found:
        found["text_projection"] = torch.eye(len(found["ln_final.weight"]), device=found["ln_final.weight"].device)
    return found


def _swapped(tensor: Tensor) -> Tensor:
    scale, shift = tensor.chunk(2)
    return torch.cat([shift, scale])


def _joined(tensors: Tensors, names: Iterable[str]) -> Tensor:
    return torch.cat([tensors[name] for name in names])


_TIME_AND_TEXT = {
    "time_text_embed.timestep_embedder.linear_1": ("t_embedder.mlp.0", "time_in.in_layer"),
    "time_text_embed.timestep_embedder.linear_2": ("t_embedder.mlp.2", "time_in.out_layer"),
    "time_text_embed.text_embedder.linear_1": ("y_embedder.mlp.0", "vector_in.in_layer"),
    "time_text_embed.text_embedder.linear_2": ("y_embedder.mlp.2", "vector_in.out_layer"),
    "time_text_embed.guidance_embedder.linear_1": ("", "guidance_in.in_layer"),
    "time_text_embed.guidance_embedder.linear_2": ("", "guidance_in.out_layer"),
    "context_embedder": ("context_embedder", "txt_in"),
    "x_embedder": ("", "img_in"),
    "pos_embed.proj": ("x_embedder.proj", ""),
    "proj_out": ("final_layer.linear", "final_layer.linear"),
}


def _ends(tensors: Tensors, flux: bool) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    for ours, theirs in _TIME_AND_TEXT.items():
        for kind in ("weight", "bias"):
            if f"{ours}.{kind}" in tensors:
                found[f"{theirs[flux]}.{kind}"] = tensors[f"{ours}.{kind}"]
    for kind in ("weight", "bias"):
        found[f"final_layer.adaLN_modulation.1.{kind}"] = _swapped(tensors[f"norm_out.linear.{kind}"])
    return found


def _sd3(tensors: Tensors) -> dict[str, Tensor]:
    found = _ends(tensors, flux=False) | {"pos_embed": tensors["pos_embed.pos_embed"]}
    count = 1 + max(int(name.split(".")[1]) for name in tensors if name.startswith("transformer_blocks."))
    for number in range(count):
        ours, theirs = f"transformer_blocks.{number}.", f"joint_blocks.{number}."
        block = {name.removeprefix(ours): tensor for name, tensor in tensors.items() if name.startswith(ours)}
        for name, tensor in _sd3_block(block, is_last=number == count - 1).items():
            found[theirs + name] = tensor
    return found


def _sd3_block(block: Tensors, *, is_last: bool) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    plain = {
        "attn.to_out.0": "x_block.attn.proj",
        "attn.to_add_out": "context_block.attn.proj",
        "attn2.to_out.0": "x_block.attn2.proj",
        "norm1.linear": "x_block.adaLN_modulation.1",
        "norm1_context.linear": "context_block.adaLN_modulation.1",
        "ff.net.0.proj": "x_block.mlp.fc1",
        "ff.net.2": "x_block.mlp.fc2",
        "ff_context.net.0.proj": "context_block.mlp.fc1",
        "ff_context.net.2": "context_block.mlp.fc2",
        "attn.norm_q": "x_block.attn.ln_q",
        "attn.norm_k": "x_block.attn.ln_k",
        "attn.norm_added_q": "context_block.attn.ln_q",
        "attn.norm_added_k": "context_block.attn.ln_k",
        "attn2.norm_q": "x_block.attn2.ln_q",
        "attn2.norm_k": "x_block.attn2.ln_k",
    }
    threes = {
        "x_block.attn.qkv": ("attn.to_q", "attn.to_k", "attn.to_v"),
        "context_block.attn.qkv": ("attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj"),
        "x_block.attn2.qkv": ("attn2.to_q", "attn2.to_k", "attn2.to_v"),
    }
    for kind in ("weight", "bias"):
        for ours, theirs in plain.items():
            if f"{ours}.{kind}" in block:
                tensor = block[f"{ours}.{kind}"]
                found[f"{theirs}.{kind}"] = _swapped(tensor) if is_last and ours == "norm1_context.linear" else tensor
        for theirs, ours in threes.items():
            if f"{ours[0]}.{kind}" in block:
                found[f"{theirs}.{kind}"] = _joined(block, [f"{one}.{kind}" for one in ours])
    return found


def _flux(tensors: Tensors) -> dict[str, Tensor]:
    found = _ends(tensors, flux=True)
    for ours, theirs, write in (
        ("transformer_blocks", "double_blocks", _flux_double),
        ("single_transformer_blocks", "single_blocks", _flux_single),
    ):
        count = 1 + max(int(name.split(".")[1]) for name in tensors if name.startswith(f"{ours}."))
        for number in range(count):
            begin = f"{ours}.{number}."
            block = {name.removeprefix(begin): tensor for name, tensor in tensors.items() if name.startswith(begin)}
            found |= _named(f"{theirs}.{number}.", write(block))
    return found


def _flux_double(block: Tensors) -> dict[str, Tensor]:
    plain = {
        "norm1.linear": "img_mod.lin",
        "norm1_context.linear": "txt_mod.lin",
        "ff.net.0.proj": "img_mlp.0",
        "ff.net.2": "img_mlp.2",
        "ff_context.net.0.proj": "txt_mlp.0",
        "ff_context.net.2": "txt_mlp.2",
        "attn.to_out.0": "img_attn.proj",
        "attn.to_add_out": "txt_attn.proj",
    }
    found = {
        "img_attn.norm.query_norm.scale": block["attn.norm_q.weight"],
        "img_attn.norm.key_norm.scale": block["attn.norm_k.weight"],
        "txt_attn.norm.query_norm.scale": block["attn.norm_added_q.weight"],
        "txt_attn.norm.key_norm.scale": block["attn.norm_added_k.weight"],
    }
    for kind in ("weight", "bias"):
        found |= {f"{theirs}.{kind}": block[f"{ours}.{kind}"] for ours, theirs in plain.items()}
        found[f"img_attn.qkv.{kind}"] = _joined(block, [f"attn.to_{one}.{kind}" for one in "qkv"])
        found[f"txt_attn.qkv.{kind}"] = _joined(block, [f"attn.add_{one}_proj.{kind}" for one in "qkv"])
    return found


def _flux_single(block: Tensors) -> dict[str, Tensor]:
    found = {
        "norm.query_norm.scale": block["attn.norm_q.weight"],
        "norm.key_norm.scale": block["attn.norm_k.weight"],
    }
    for kind in ("weight", "bias"):
        found[f"modulation.lin.{kind}"] = block[f"norm.linear.{kind}"]
        found[f"linear2.{kind}"] = block[f"proj_out.{kind}"]
        found[f"linear1.{kind}"] = _joined(block, [*(f"attn.to_{one}.{kind}" for one in "qkv"), f"proj_mlp.{kind}"])
    return found
