"""Model cards: what is known of a model before it is loaded, and what it can do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Self, cast

from limner.generators.cards.abilities import abilities
from limner.generators.cards.configuration import Configuration, configuration, source_fault
from limner.generators.cards.few_steps import few_steps
from limner.generators.cards.lora_files import TRANSFORMER
from limner.generators.cards.model_files import ModelFault, pipeline_on_hub
from limner.generators.cards.reference_files import ReferenceFiles, find_references
from limner.generators.cards.reference_limits import LIMITS, NO_LIMITS, ReferenceLimits
from limner.generators.cards.samplers import samplers
from limner.generators.cards.trigger_words import trigger_words
from limner.generators.cards.video_models import VideoFrames, video_fields, video_frames
from limner.generators.references import OF_CONTROLNETS, Role
from limner.generators.sentences import sentence
from limner.generators.text_files import read_text

UNLOADABLE = sentence("cannot be loaded, and the operator finds the reason with `limner doctor`")
"""The problem of a model whose files are missing or broken."""
DAMAGED_WEIGHTS = sentence("has weights that are missing or no numbers, and the operator must replace its file")
"""The problem of a model whose weights were found damaged when it was loaded."""
DAMAGED = "damaged"
"""What is remembered of such a model (`generators.measured`): the stamp of its files, by its origin."""
NO_LIMIT = 10**6
"""More tokens than any text has; a tokenizer without a limit reports 10**30."""


@dataclass(frozen=True)
class ImagesServer:
    """The servers that paint a model: their addresses, the key that they want, and seconds for one picture."""

    addresses: tuple[str, ...]
    api_key: str = field(repr=False)
    timeout: float


NOT_SAID = {
    "name",
    "source",
    "server",
    "stamp",
    "attention",
    "compile_cache",
    "prompt_width",
    "problem",
    "samplers",
    "controlnets",
    "control_inputs",
    "adapters",
    "image_encoder",
    "reference_limits",
    "reference_faults",
    "one_lora",
    "embeddings",
    "video",
}
"""Fields that a limner.json does not set as they are."""
READS_MASKS = 9
"""Input channels of the UNets that diffusers' inpainting pipelines give masks to; others read latents alone."""


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """What is known of a model before it is loaded, from its JSON files or a checkpoint's header, without torch.

    A folder may hold a ``limner.json`` with any of these fields; the others come from the diffusers configuration
    files, or have the defaults here.
    """

    name: str
    source: str
    title: str = ""
    width: int = 1024
    height: int = 1024
    multiple_of: int = 16
    least_side: int = 0
    """Shortest side that still has room for a whole picture; requests made of earlier smaller ones are enlarged."""
    num_inference_steps: int = 25
    guidance_scale: float = 5.0
    most_steps: int | None = None
    """Most steps that a request may have, of a model that was made for few; None: as many as the operator allows."""
    max_added_words: int = 60
    dialect: str = "sentences"
    """How its prompts are written: in sentences, or as tags, short phrases between commas."""
    max_tokens: int | None = None
    """Most tokens that its text encoders read; None: unknown."""
    english_only: bool = False
    restyles: bool = False
    """Image-to-image without words."""
    leaves_out: bool = True
    """Supports a negative prompt."""
    starts: bool = True
    """Supports an input picture."""
    masks: bool = True
    """Supports a mask (inpainting)."""
    edits: bool = False
    """Changes a picture as the prompt says, such as "make it night"; how much of it, the prompt alone says."""
    needs_picture: bool = False
    """Requires an input picture."""
    other_sizes: bool = True
    """Supports other sizes than its own."""
    has_steps: bool = True
    """Paints in as many steps as it is asked for."""
    has_guidance: bool = True
    """Follows the guidance that it is asked for."""
    steers: bool = True
    """Takes another prompt between two steps, and can stop early."""
    skips: bool = False
    """Can do without a part of its denoiser's calls."""
    animates: bool = True
    """Paints what lies between two pictures."""
    video: VideoFrames | None = None
    """How many frames its videos have, if it paints videos; it paints no pictures then."""
    guides_in_part: bool = False
    """Computes guidance from a second output of its denoiser, which some steps can do without."""
    style_layers: int = 0
    """Layers that can have a style each, so that styles can be mixed; 0: they cannot."""
    explains: bool = False
    """Its denoiser's attention says which words drew what."""
    weighs: bool = False
    """Reads weights of words, and BREAK."""
    tiles: bool = False
    """Paints pictures whose opposite edges continue each other."""
    chunks: bool = False
    """Reads prompts that are longer than its CLIP encoders in pieces, instead of their beginning only."""
    takes_loras: bool = True
    """Supports LoRA files."""
    one_lora: bool = False
    """Supports one LoRA in a request."""
    streams: bool = False
    """Its server sends rough pictures while it paints, if asked to."""
    subtle_strength: float = 0.35
    strong_strength: float = 0.7
    """How much of a picture its two variations change."""
    enhance_strength: float = 0.5
    """How much of a draft changes when it is painted again in full quality."""
    draft: Mapping[str, Any] = field(default_factory=dict[str, Any], hash=False)
    fine: Mapping[str, Any] = field(default_factory=dict[str, Any], hash=False)
    """Steps, scale and sampler of these qualities, where they are not what suits the family (`qualities`)."""
    is_tryout: bool = False
    """A small model for trying Limner; a member's first picture by it has a note about that."""
    words: frozenset[str] = frozenset()
    """Its vocabulary, from the folder's ``words.txt``; empty: unknown, so every word counts as known."""
    samplers: tuple[str, ...] = ()
    """Samplers that a request may choose; empty: its own only."""
    loras: Mapping[str, str] = field(default_factory=dict[str, str], hash=False)
    """LoRA files (safetensors) by name; a relative path begins at the model's folder."""
    embeddings: Mapping[str, str] = field(default_factory=dict[str, str], hash=False)
    """Files of textual inversion embeddings by the word that stands for them in a prompt."""
    prompt_width: int | None = None
    """Numbers of a token as its denoiser reads it, 0 without cross-attention; None: unknown."""
    lora_words: Mapping[str, str] = field(default_factory=dict[str, str], hash=False)
    """The words that a LoRA listens to, by its name; where none are given, its file may say them."""
    trigger_words: str = ""
    """The words that it was trained with, which are suggested with its name."""
    controlnets: Mapping[str, str] = field(default_factory=dict[str, str], hash=False)
    """The folders of its ControlNets by kind: canny, depth, scribble or pose."""
    adapters: Mapping[str, str] = field(default_factory=dict[str, str], hash=False)
    """The files of its IP-Adapters by role: style, subject or blend."""
    image_encoder: str = ""
    """The folder of the image encoder that the IP-Adapters read."""
    adapter_blocks: Mapping[str, Any] = field(default_factory=dict[str, Any], hash=False)
    """The blocks of the denoiser in which an adapter counts, by its role, as diffusers' `set_ip_adapter_scale` names
    them; without an entry all."""
    reference_faults: tuple[ModelFault, ...] = ()
    """What is wrong with ControlNets, IP-Adapters and embeddings that it cannot use."""
    reference_limits: ReferenceLimits = NO_LIMITS
    """What it can do with several references, or with a picture to start from beside them."""
    control_inputs: Mapping[str, str] = field(default_factory=dict[str, str], hash=False)
    """How each ControlNet reads its picture, by kind; those of one request must have the same."""
    kind: str = "diffusion"
    """The entry point in the group ``limner.generators`` that loads it."""
    server: ImagesServer | None = None
    """The servers that run it, if any; ``source`` is then its name there."""
    vae: str = ""
    """The file of the autoencoder that replaces its own, if any."""
    quantize: str = ""
    """How its weights are kept: int8, nf4, or empty for as they are."""
    attention: str = ""
    """What computes its denoiser's attention where that is quicker: one of `ATTENTION`, or empty for torch's."""
    compile_cache: str = ""
    """The folder of compiled code, if its denoiser is compiled where that saves time."""
    stamp: str = ""
    """Another text once its files are others; empty where nobody looks."""
    problem: str = ""
    """Why no command can use it, such as "needs a control picture"; empty if one can."""

    @classmethod
    def read(cls, name: str, source: str, *, data: Path | None = None, **overrides: Any) -> Self:
        """Read the diffusers folder, checkpoint or hub name ``source``; ``overrides`` win over its files.

        The folder ``data`` may hold ControlNets and IP-Adapters of the model, in ``controlnets/NAME`` and
        ``adapters/NAME``. Of a hub name nothing is known until it has been downloaded, but what follows from its
        model_index.json.

        Raises:
            BadText: one of its files is wrong, and where.
        """
        files = configuration(source)
        pipeline = files.table("model_index.json").get("_class_name")
        if not isinstance(pipeline, str):
            pipeline = pipeline_on_hub(source)
        folder, said = files.folder, video_fields(pipeline, files.tables) | files.said
        autoencoder = files.table("vae/config.json")
        scale = _vae_scale_factor(autoencoder)
        transformer, unet = files.table("transformer/config.json"), files.table("unet/config.json")
        denoiser = unet or transformer
        sample_size = denoiser.get("sample_size")
        if transformer:
            said = {"multiple_of": scale * 2, **said}  # one token is two by two latents
        if unet.get("in_channels", READS_MASKS) not in (READS_MASKS, autoencoder.get("latent_channels", 4)):
            said = {"masks": False, **said}
        if isinstance(sample_size, int):
            said = {"width": sample_size * scale, "height": sample_size * scale, **said}
        if isinstance(halvings := denoiser.get("down_block_types"), list):
            said = {"multiple_of": scale * 2 ** (len(cast("list[Any]", halvings)) - 1), **said}
        if files.table("model_index.json").get("_class_name") == "Kandinsky3Pipeline":
            said = {"multiple_of": 64, **said}  # it would enlarge other sizes
        known = {field.name for field in fields(cls)} - NOT_SAID
        kind = str(overrides.get("kind") or said.get("kind", cls.kind))
        able = abilities(kind, pipeline)
        if kind == "diffusion" and pipeline:
            said = _few_steps(pipeline, files, source) | said
        values: dict[str, Any] = {key: value for key, value in (able | said).items() if key in known}
        values["problem"] = UNLOADABLE if source_fault(source, kind) else able.get("problem", "")
        if kind == "diffusion" and pipeline:
            values["samplers"] = tuple(samplers(pipeline, files.table("scheduler/scheduler_config.json")))
        if kind == "diffusion":
            values.setdefault("max_tokens", _most_tokens(files))
        if Path(source).is_file():
            values.setdefault("trigger_words", trigger_words(Path(source)))
        values["words"] = _read_words(folder / "words.txt")
        values["prompt_width"] = _prompt_width(unet, transformer)
        values["video"] = video_frames(pipeline, files.tables) if kind == "diffusion" else None
        if pipeline in LIMITS:
            values |= _referring(find_references(pipeline, said, folder, data, name, denoiser))
            values["reference_limits"] = LIMITS[pipeline]
        values["loras"] = {lora: str(folder / path) for lora, path in values.get("loras", {}).items()}
        if values.get("vae"):
            values["vae"] = str(folder / values["vae"])
        return cls(name=name, source=source, **{**values, **overrides})

    def room(self, size: tuple[int, int]) -> tuple[int, int]:
        """The size, or the model's own with this aspect ratio where it is too small or no multiple of `multiple_of`."""
        fits = min(size) >= self.least_side and not any(side % self.multiple_of for side in size)
        return size if fits else self.size(size)

    @property
    def origin(self) -> str:
        """Where the model is, with its server: the same whatever it is called here."""
        return " ".join((*self.server.addresses, self.source)) if self.server else self.source

    @property
    def controls(self) -> tuple[Role, ...]:
        """The roles that control pictures can have, those that are made from any picture first."""
        return tuple(role for role, kind in OF_CONTROLNETS.items() if kind in self.controlnets)

    def can_leave_out(self, guidance: float) -> bool:
        """Whether a negative prompt has an effect: diffusers ignores it without guidance."""
        return self.leaves_out and (self.kind != "diffusion" or guidance > 1)

    def size(self, aspect: tuple[int, int]) -> tuple[int, int]:
        """Width and height with about the model's own number of pixels and the given aspect ratio."""
        ratio = aspect[0] / aspect[1]
        area = self.width * self.height
        exact = ((area * ratio) ** 0.5, (area / ratio) ** 0.5)
        width, height = (max(1, round(side / self.multiple_of)) * self.multiple_of for side in exact)
        return width, height


def _few_steps(pipeline: str, files: Configuration, source: str) -> dict[str, Any]:
    """How a model for few steps paints; nothing for others."""
    path = Path(source)
    few = few_steps(pipeline, files.tables, path.stem if path.is_file() else path.name)
    return {"num_inference_steps": few.steps, "guidance_scale": few.guidance, "most_steps": few.most} if few else {}


def _prompt_width(unet: dict[str, Any], transformer: dict[str, Any]) -> int | None:
    width = TRANSFORMER if transformer else unet.get("cross_attention_dim")
    return width if isinstance(width, int) else None


def _referring(files: ReferenceFiles) -> dict[str, Any]:
    return {
        "controlnets": files.controlnets,
        "control_inputs": files.control_inputs,
        "adapters": files.adapters,
        "image_encoder": files.image_encoder,
        "reference_faults": files.faults,
    }


def _most_tokens(files: Configuration) -> int | None:
    """The limit of the tokenizer that reads most."""
    limits = [table.get("model_max_length") for path, table in files.tables.items() if path.startswith("tokenizer")]
    known = [limit for limit in limits if isinstance(limit, int) and 0 < limit < NO_LIMIT]
    return max(known) if known and len(known) == len(limits) else None


def _read_words(path: Path) -> frozenset[str]:
    return frozenset(read_text(path).split()) if path.is_file() else frozenset()


def _vae_scale_factor(vae: dict[str, Any]) -> int:
    """diffusers' rule: one halving for each block but the first; 8 where the VAE's config is missing."""
    blocks = vae.get("block_out_channels")
    return 2 ** (len(cast("list[Any]", blocks)) - 1) if isinstance(blocks, list) and blocks else 8
