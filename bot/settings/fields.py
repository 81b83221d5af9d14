"""Every setting: its name, default and meaning."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

SHIPPED_SEGMENTATION = "pretrained:segmentation"


def setting(default: str | float | Path, meaning: str) -> Any:
    """A field with its meaning, for the docs."""
    return field(default=default, metadata={"meaning": meaning})


def table(default: dict[str, str], meaning: str) -> Any:
    """A field that is a table in the settings file and name=value,name=value in the environment."""
    return field(default_factory=default.copy, metadata={"meaning": meaning})


@dataclass(frozen=True, kw_only=True)
class SettingFields:
    """All of an operator's settings, as they are written."""

    data: Path = setting(Path("data"), "Folder for the database, the pictures and the caches.")
    token: str = setting("", "The Discord bot's token, for `limner run`.")
    database_url: str = setting("", "SQLAlchemy URL of the database; empty means SQLite in the data folder.")

    encryption_key: str = setting(
        "",
        "Key that encrypts members' words and pictures where they are stored: 32 bytes in base64, in the environment "
        "only; a second one, after a space, is the key before it. Empty: they are not encrypted.",
    )

    models: dict[str, str] = table(
        {
            "doodle": "pretrained:doodle",
            **{style: f"pretrained:styles/{style}" for style in ("line-art", "watercolour")},
        },
        "Models on offer: name = diffusers folder, checkpoint (a safetensors file), hub name, or `pretrained:` name; "
        "`@WIDTHxHEIGHT:STEPS:GUIDANCE` says how it paints.",
    )
    models_dir: str = setting(
        "", "Folder in which each checkpoint and each diffusers folder is a model too; new ones need no restart."
    )
    default_model: str = setting("", "The model that paints when none is asked for; empty means the first one.")
    english_only: str = setting(
        "", "Models that read English only, with commas; the glossary translates for them. Folders say it themselves."
    )
    executor: str = setting(
        "local",
        "Where pictures are painted: local (worker processes), ray (Ray actors), openai (images servers) or comfy "
        "(ComfyUI).",
    )
    images_url: str = setting(
        "",
        "Addresses of OpenAI-compatible images servers, such as http://localhost:8000/v1, or of ComfyUI, such as "
        "http://localhost:8188, with commas.",
    )
    images_api_key: str = setting("", "Key for those servers, if they want one.")
    images_timeout: float = setting(300.0, "Seconds that a server may take for one picture.")
    ray_address: str = setting("", "Address of a Ray cluster, such as `auto`; empty starts Ray on this machine.")
    device: str = setting(
        "auto", "Where the models run: auto (every GPU, else the CPU), or a list such as cuda:0,cuda:1; mps; cpu."
    )
    quantize: dict[str, str] = table(
        {}, "Models whose denoiser and text encoders keep their weights in fewer bits: model = int8, fp8 or nf4."
    )
    dtype: str = setting(
        "auto",
        "Number format of the weights: auto (float32 on the CPU, else half precision), float32, float16, bfloat16, or "
        "fastest (measured on the device).",
    )
    attention: dict[str, str] = table(
        {}, "What computes the attention of models' denoisers, where it is quicker: model = diffusers' name, as flash."
    )
    compile: str = setting(
        "",
        "Models, with commas, that an idle worker compiles for calls of 1, 2, 4 and 8 samples, where that saves time.",
    )
    offload: str = setting("none", "Move weights off the GPU between uses: none, model or sequential.")
    max_batch: str = setting(
        "auto",
        "Samples that one denoiser call holds at most: a number, or auto for what fits and saves time on the device.",
    )
    workers: int = setting(1, "Workers that `limner run` starts on each device, or on Ray; 0 if they run elsewhere.")
    previews: str = setting("on", "Show a rough picture while one is being painted: on or off.")

    embedder: str = setting(
        "sentence-encoder", "Embedder that finds requests by their meaning: sentence-encoder, one of a package, or off."
    )
    expander: str = setting("transformers", "Expander of ideas: transformers, openai or off.")
    expander_model: str = setting("", "Language model folder or name; empty means the SmolLM2 that ships with it.")
    expander_device: str = setting(
        "auto",
        "Where the language model runs beside the image model: auto, cpu, resident (same GPU) or swap (in turn).",
    )
    expander_url: str = setting("", "Address of an OpenAI-compatible chat server, such as http://localhost:11434/v1.")
    expander_api_key: str = setting("", "Key for that server, if it wants one.")
    expansion_ranker: str = setting(
        "",
        "Folder of `limner train expansions`, by which one of three expansions of an idea is chosen; empty: one is "
        "written.",
    )
    expander_timeout: float = setting(30.0, "Seconds that an expansion may take before the idea itself is used.")

    text_classifier: str = setting(
        "examples",
        "Text classifier for rules of /filter policy: examples (learnt from written ones), guard (a Llama Guard behind "
        "a chat server), the name of an installed package's, or off.",
    )
    text_classifier_model: str = setting(
        "", "Folder of `limner train policies`, or the guard model's name on its server; empty: the examples that ship."
    )
    text_classifier_url: str = setting("", "Address of the guard's server, such as http://localhost:11434/v1.")
    text_classifier_api_key: str = setting("", "Key for that server, if it wants one.")
    text_classifier_timeout: float = setting(
        5.0, "Seconds that classifying a request's texts may take; after that these rules do not count for it."
    )

    safety_classifier: str = setting(
        "default",
        "Safety classifier that scores every picture before it is posted: default (open_nsfw), a folder or hub name (a "
        "transformers image classifier or a CLIP-style model), the name of an installed package's, or off.",
    )
    safety_classifier_unwanted: str = setting(
        "", "Its labels, or texts for CLIP, that count as explicit, with commas; empty: the usual ones."
    )
    safety_classifier_wanted: str = setting(
        "", "Texts for CLIP of harmless subjects, with commas; empty: the usual ones."
    )
    safety_classifier_timeout: float = setting(
        20.0, "Seconds that classifying a picture may take; after that the pictures wait for another attempt."
    )
    explicit_limit: float = setting(0.5, "How explicit a picture may be, 0 (nothing is posted) to 1 (everything is).")
    explicit_limit_restricted: float = setting(0.9, "The same in channels that Discord calls age-restricted.")
    block_distance: int = setting(
        6, "Of 64 bits of the pHash, in how many a picture may differ from a blocked one and be blocked."
    )
    floor_channel: int = setting(
        0, "Id of a channel in which the refusals of the filter's floor are listed, without their words; 0: none."
    )
    max_input_bytes: int = setting(10 * 2**20, "Bytes of a picture file to start from.")
    max_input_pixels: int = setting(40_000_000, "Width times height of a picture to start from.")

    ai_label: str = setting(
        "on",
        "Say under pictures and in their alt text that AI generated them: on, or off, only where the law of the place "
        "allows that (in the EU it does not).",
    )
    corner_label: str = setting(
        "", "Text in the lower right corner of every picture, such as AI; up to 20 characters, empty: none."
    )
    trustmark: str = setting(
        "",
        "Folder with TrustMark's networks, encoder_Q.onnx and decoder_Q.onnx, which write and read a second invisible "
        "mark; empty: ours alone.",
    )
    signing_certificate: str = setting(
        "",
        "PEM file of the certificate chain that signs pictures (C2PA); empty means signing/certificate.pem in the data "
        "folder, where `limner certify` puts one to try with.",
    )
    signing_key: str = setting("", "PEM file of its private key; empty means signing/key.pem in the data folder.")
    time_stamp_authority: str = setting(
        "", "Address of a time stamp authority (RFC 3161) that says when pictures were signed; empty: none is asked."
    )

    styles: str = setting("", "TOML file with more style presets, in the form of the shipped bot/styles.toml.")
    max_prompt_length: int = setting(1500, "Characters in a prompt or negative prompt.")
    max_count: int = setting(4, "Pictures in one request, up to 4.")
    max_requests: int = setting(
        10, "Requests that one prompt may make by {a, b} or --repeat, up to 40; they need the room of one."
    )
    max_steps: int = setting(50, "Denoising steps in one request.")
    max_pixels: int = setting(2048 * 2048, "Width times height of a picture.")
    max_jobs_per_user: int = setting(3, "Requests that one person may have waiting or running.")
    max_jobs_per_guild: int = setting(50, "Requests that one server may have waiting or running.")
    refused_days: float = setting(90.0, "Days that a refused request is kept; longer if a moderator has seen it.")
    refused_member_mb: float = setting(8.0, "Megabytes of a member's refused requests in one server; its oldest go.")
    refused_server_mb: float = setting(64.0, "The same of all members of a server.")
    changes_days: float = setting(365.0, "Days that a change stays in a server's /filter log.")
    changes_member_mb: float = setting(32.0, "Megabytes of one moderator's changes in that log; the oldest ones go.")
    changes_server_mb: float = setting(64.0, "The same of all moderators of a server.")
    left_server_days: float = setting(
        30.0, "Days after which everything of a server that the bot has left is removed, unless it comes back before."
    )
    server_weights: dict[str, str] = table(
        {}, "Queue weight of a server, 1 for all others: server id = weight, from 0.01 to 100."
    )
    class_weights: dict[str, str] = table(
        {},
        "Queue weight by role id (2: two turns for each turn of others); a member's largest one counts.",
    )

    image_text_model: str = setting(
        "pretrained:image-text",
        "Image-text model that scores pictures against words: a CLIP-style folder or hub name of transformers, or a "
        "`pretrained:` name; empty: none.",
    )
    captioner: str = setting(
        "", "Image-to-text folder or hub name for /describe; empty means the image-text model's own."
    )
    image_text_device: str = setting(
        "cpu",
        "Where image-text model, captioner, upscaler, restoration and segmentation model run: cpu, cuda:0 or mps.",
    )
    candidates: dict[str, str] = table(
        {},
        "Pictures painted for each one kept, the best match to the idea: model = number, from 1 to 8.",
    )
    preference_model: str = setting(
        "",
        "Folder of `limner train preferences`, by which candidates that people like are chosen; empty: by nearness to "
        "the idea.",
    )
    compared_share: int = setting(
        0,
        "Of how many results in a hundred members who let models be trained are asked which of two pictures is better.",
    )
    segmentation_model: str = setting(
        SHIPPED_SEGMENTATION,
        "Segmentation model for words that name a part of a picture: a CLIPSeg folder or hub name of transformers, a "
        "folder of `limner train segmentation`, or a `pretrained:` name; empty: none.",
    )
    restoration_model: str = setting(
        "pretrained:restore",
        "Network behind the restorations of /enhance for drawings: a folder of `limner train restore`, or a "
        "`pretrained:` name; empty: none.",
    )
    upscaler: str = setting("", "Upscaling model, a safetensors file that spandrel reads; empty means Lanczos.")

    lease_seconds: float = setting(15.0, "How long a silent worker keeps its jobs before others may take them.")
    step_timeout: float = setting(300.0, "Seconds that one denoising step may take before its worker is started again.")
    load_timeout: float = setting(1800.0, "Seconds that loading a model may take, its download included.")
    max_attempts: int = setting(3, "How often a job is tried before its owner reads why it failed.")
    metrics_port: int = setting(
        0, "Port of the HTTP server for Prometheus (`/metrics`) and health (`/health`); 0 means that there is none."
    )
    metrics_host: str = setting("127.0.0.1", "Address that it listens on; 0.0.0.0 lets other machines read it.")
    log_level: str = setting("INFO", "DEBUG, INFO, WARNING or ERROR.")

    @property
    def servers_paint(self) -> bool:
        """Whether servers paint, and workers only ask them; they load no torch then."""
        return self.executor in ("openai", "comfy")

    @property
    def measured_file(self) -> Path:
        """The file with measurements of models on this machine."""
        return self.data / "cache" / "measured.json"

    @property
    def compile_cache(self) -> Path:
        """The folder of compiled code."""
        return self.data / "cache" / "compiled"


def setting_names() -> list[str]:
    """Every setting's name, in the order of the docs' table."""
    return [item.name for item in fields(SettingFields)]
