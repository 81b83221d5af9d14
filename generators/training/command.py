"""The command line of training: the kinds of `limner train` and their options. Importing this imports no torch."""

from __future__ import annotations

import argparse
from pathlib import Path

from limner.generators.training import kinds, preference_kinds
from limner.generators.training.groups import GROUPS
from limner.generators.training.options import above_zero, share, whole, widths


def add_kinds(train: argparse.ArgumentParser) -> None:
    """Add the kinds of `limner train`; each sets ``kind`` to its function."""
    add = train.add_subparsers(metavar="KIND", required=True).add_parser
    _add_data(add("data", help="make a folder of captioned pictures fit to learn from"))
    _add_diffusion(add("diffusion", help="latent diffusion on your own pictures: a diffusers folder"))
    _add_autoencoder(add("autoencoder", help="what latent diffusion paints through, for --autoencoder"))
    _add_lora(add("lora", help="teach a diffusers model a handful of your own pictures"))
    for family, what in (("vae", "a variational autoencoder"), ("gan", "a generative adversarial network")):
        _add_one_pass(add(family, help=f"{what} that paints what words say, in one pass"), family)
    _add_cyclegan(add("cyclegan", help="changes pictures of one kind into pictures of another, and back"))
    doodle = add("doodle", help="the small model that ships: downloads its pictures; hours on a CPU, minutes on a GPU")
    _add_common(doodle, "data/training/doodle", 2_000_000)
    doodle.set_defaults(kind=kinds.doodle)
    _add_scenes(add("scenes", help="captioned pictures composed of pictograms, to learn from or test with"))
    _add_image_text(
        add(
            "image-text",
            aliases=["reader"],  # the old name, until version 0.3
            help="an image-text model, which scores how near pictures are to words, and a captioner",
        )
    )
    _add_segmentation(add("segmentation", help="a model that finds the part of a drawing that words name"))
    restore = add("restore", help="a model that removes noise and blur from drawings, and doubles them")
    _add_pictures(restore)
    _add_common(restore, "data/training/restore", 100_000)
    restore.set_defaults(kind=kinds.restore)
    _add_style(add("style", help="one style, such as a picture's, that any picture can be given"))
    _add_features(add("features", help="what limner evaluate compares pictures by, fitted to your own"))
    _add_preferences(add("preferences", help="what people like, from which of two pictures they preferred"))
    _add_expansions(add("expansions", help="which expansions of ideas have pictures that show the idea"))
    _add_policies(add("policies", help="a text classifier for /filter policy, from examples"))


def _add_data(data: argparse.ArgumentParser) -> None:
    data.add_argument(
        "folder",
        type=Path,
        metavar="DIR",
        help="captions as metadata.jsonl, .csv or texts beside pictures, or MNIST's files; digits for scikit-learn's",
    )
    data.add_argument("--out", type=Path, metavar="DIR", help="where the result goes (DIR-ready)")
    data.add_argument("--side", type=whole(8, 4096), default=128, metavar="N", help="width and height in pixels (128)")
    data.add_argument("--variants", type=whole(0), default=0, metavar="N", help="augmented copies of each picture (0)")
    data.add_argument("--test", type=share, default=0.1, metavar="X", help="share kept back for testing (0.1)")
    data.add_argument("--seed", type=whole(0), default=0, metavar="N", help="which pictures that are (0)")
    data.add_argument("--no-captions", action="store_true", help="take all picture files, without words, for cyclegan")
    data.set_defaults(kind=kinds.data)


def _add_diffusion(kind: argparse.ArgumentParser) -> None:
    _add_pictures(kind)
    _add_common(kind, "data/training/diffusion", 200_000)
    kind.add_argument("--objective", choices=("flow", "epsilon", "v"), default="flow", help="what is learnt (flow)")
    kind.add_argument(
        "--autoencoder", metavar="MODEL", help="diffusers folder whose own is used (one is trained first)"
    )
    kind.add_argument(
        "--words", metavar="MODEL", default="doodle", help="whose text encoder reads the captions (doodle)"
    )
    kind.add_argument(
        "--widths",
        type=widths(GROUPS),
        metavar="N,N",
        default=(128, 192),
        help="channels of the denoiser's levels (128,192)",
    )
    kind.add_argument("--batch", type=whole(), default=32, metavar="N", help="pictures in a step (32)")
    kind.set_defaults(kind=kinds.diffusion)


def _add_autoencoder(kind: argparse.ArgumentParser) -> None:
    _add_pictures(kind)
    _add_common(kind, "data/training/autoencoder", 48_000)
    kind.set_defaults(kind=kinds.autoencoder)


def _add_lora(kind: argparse.ArgumentParser) -> None:
    kind.add_argument("model", metavar="MODEL", help="a name of LIMNER_MODELS, a diffusers folder or a hub name")
    kind.add_argument("pictures", type=Path, nargs="?", metavar="DIR", help="a folder that limner train data has made")
    kind.add_argument(
        "--liked", type=whole(), metavar="ID", help="instead: the pictures that the member or server with this id liked"
    )
    kind.add_argument(
        "--pairs",
        type=Path,
        metavar="FILE",
        help="instead: which of two pictures is preferred, the lines of limner ratings --pairs",
    )
    kind.add_argument("--name", default="mine", metavar="NAME", help="what /imagine lora: will call it (mine)")
    _add_common(kind, "data/training/lora-NAME", 4_000)
    kind.add_argument("--batch", type=whole(), default=4, metavar="N", help="pictures computed at a time (4)")
    kind.add_argument("--accumulate", type=whole(), default=1, metavar="N", help="batches in one step (1)")
    kind.add_argument(
        "--gradient-checkpointing", action="store_true", help="compute again what would take memory: slower"
    )
    kind.add_argument(
        "--rank", type=whole(1, 1024), default=8, metavar="N", help="rank of the LoRA: how much it can hold (8)"
    )
    kind.set_defaults(kind=kinds.lora)


def _add_one_pass(kind: argparse.ArgumentParser, family: str) -> None:
    _add_pictures(kind)
    _add_common(kind, f"data/training/{family}", 60_000)
    kind.add_argument(
        "--words",
        metavar="MODEL",
        default="smollm2",
        help="reads the captions: smollm2, or a diffusers folder (smollm2)",
    )
    kind.add_argument("--width", type=whole(1, 4096), default=16, metavar="N", help="channels at the finest level (16)")
    if family == "gan":
        kind.add_argument(
            *("--image-text-model", "--reader"),  # the second is the old name, until version 0.3
            dest="image_text_model",
            metavar="DIR",
            help="CLIP-style folder that judges whether pictures show the words",
        )
    kind.set_defaults(kind=kinds.one_pass, family=family, image_text_model=None)


def _add_cyclegan(kind: argparse.ArgumentParser) -> None:
    kind.add_argument("a", type=Path, metavar="DIR_A", help="a folder that limner train data has made")
    kind.add_argument("b", type=Path, metavar="DIR_B", help="one with pictures of the other kind")
    _add_common(kind, "data/training/cyclegan", 40_000)
    kind.add_argument("--width", type=whole(1, 4096), default=32, metavar="N", help="channels at the finest level (32)")
    kind.add_argument("--blocks", type=whole(1, 100), default=6, metavar="N", help="residual blocks in the middle (6)")
    kind.set_defaults(kind=kinds.cyclegan)


def _add_scenes(kind: argparse.ArgumentParser) -> None:
    kind.add_argument("folder", type=Path, metavar="DIR", help="where they go")
    kind.add_argument("--count", type=whole(), default=40_000, metavar="N", help="how many (40,000)")
    kind.add_argument("--held-out", action="store_true", help="only combinations that the others never have")
    kind.add_argument("--regions", action="store_true", help="also where each thing is, for train segmentation")
    kind.set_defaults(kind=kinds.scenes)


def _add_image_text(kind: argparse.ArgumentParser) -> None:
    _add_pictures(kind)
    _add_common(kind, "data/training/image-text", 400_000)
    kind.add_argument("--words", type=Path, metavar="DIR", help="a CLIP text encoder's folder (made of a download)")
    kind.set_defaults(kind=kinds.image_text)


def _add_segmentation(kind: argparse.ArgumentParser) -> None:
    _add_pictures(kind)
    _add_common(kind, "data/training/segmentation", 400_000)
    kind.add_argument(
        "--start", type=Path, metavar="DIR", help="image-text model that it begins with (the shipped one)"
    )
    kind.set_defaults(kind=kinds.segmentation)


def _add_style(kind: argparse.ArgumentParser) -> None:
    kind.add_argument("style", metavar="STYLE", help="a picture, or line-art or watercolour")
    _add_pictures(kind)
    _add_common(kind, "data/training/style", 12_000)
    kind.set_defaults(kind=kinds.style)


def _add_features(kind: argparse.ArgumentParser) -> None:
    _add_pictures(kind)
    kind.add_argument("--out", type=Path, metavar="DIR", help="where the result goes (data/training/features)")
    kind.set_defaults(kind=kinds.features)


def _add_policies(kind: argparse.ArgumentParser) -> None:
    kind.add_argument("examples", type=Path, metavar="FILE", help="headings such as [violence en] over lines of text")
    kind.add_argument("--out", type=Path, metavar="DIR", help="where the result goes (data/training/policies)")
    kind.set_defaults(kind=kinds.policies)


def _add_preferences(kind: argparse.ArgumentParser) -> None:
    kind.add_argument("pairs", type=Path, metavar="FILE", help="the lines of limner ratings --pairs")
    kind.add_argument("--out", type=Path, metavar="DIR", help="where the result goes (data/training/preferences)")
    kind.set_defaults(kind=preference_kinds.preferences)


def _add_expansions(kind: argparse.ArgumentParser) -> None:
    kind.add_argument("model", metavar="MODEL", help="a name of LIMNER_MODELS, or a diffusers folder")
    kind.add_argument("ideas", type=Path, metavar="FILE", help="ideas, one a line")
    kind.add_argument("--out", type=Path, metavar="DIR", help="where the result goes (data/training/expansions)")
    kind.set_defaults(kind=preference_kinds.expansions)


def _add_pictures(kind: argparse.ArgumentParser) -> None:
    kind.add_argument("pictures", type=Path, metavar="DIR", help="a folder that limner train data has made")


def _add_common(kind: argparse.ArgumentParser, folder: str, samples: int) -> None:
    kind.add_argument("--out", type=Path, metavar="DIR", help=f"everything is kept here ({folder})")
    kind.add_argument(
        "--max-minutes",
        type=above_zero("30"),
        metavar="N",
        help="stop after so many minutes; the same command goes on (when done)",
    )
    kind.add_argument(
        "--processes", type=whole(), metavar="N", help="processes that share each step (one for each GPU or core)"
    )
    kind.add_argument(
        "--samples", type=whole(), default=samples, metavar="N", help=f"pictures to learn from in all ({samples:,})"
    )
    kind.add_argument(
        "--learning-rate", type=above_zero("0.0005"), metavar="X", help="how fast it learns (the kind's own)"
    )
    kind.add_argument("--seed", type=whole(0), default=0, metavar="N", help="seed of all random numbers (0)")
    kind.add_argument(
        "--checkpoint-every",
        type=above_zero("60"),
        default=300,
        metavar="SECONDS",
        help="seconds between two checkpoints, each with a sheet of samples (300)",
    )
    kind.add_argument(
        "--tensorboard", action="store_true", help="event files beside losses.csv (pip install limner[train])"
    )
