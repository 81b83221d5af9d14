"""The command line of training: its kinds and options. Importing this imports no torch."""

from __future__ import annotations

import argparse
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from limner.generators.sentences import sentence, shown
from limner.generators.training.errors import TrainingError
from limner.generators.training.groups import GROUPS
from limner.generators.training.options import above_zero, share, whole, widths

if TYPE_CHECKING:
    from limner.generators.training.plan import Plan

PRETRAINED = Path(__file__).resolve().parent.parent / "pretrained"


def add_kinds(train: argparse.ArgumentParser) -> None:
    """Add the kinds of `limner train`; each sets ``kind`` to its function."""
    kinds = train.add_subparsers(metavar="KIND", required=True)
    _add_data(kinds.add_parser("data", help="make a folder of captioned pictures fit to learn from"))
    _add_diffusion(kinds.add_parser("diffusion", help="latent diffusion on your own pictures: a diffusers folder"))
    _add_autoencoder(kinds.add_parser("autoencoder", help="what latent diffusion paints through, for --autoencoder"))
    _add_lora(kinds.add_parser("lora", help="teach a diffusers model a handful of your own pictures"))
    for family, what in (("vae", "a variational autoencoder"), ("gan", "a generative adversarial network")):
        _add_one_pass(kinds.add_parser(family, help=f"{what} that paints what words say, in one pass"), family)
    _add_cyclegan(kinds.add_parser("cyclegan", help="changes pictures of one kind into pictures of another, and back"))
    doodle = kinds.add_parser(
        "doodle", help="the small model that ships: downloads its pictures; hours on a CPU, minutes on a GPU"
    )
    _add_common(doodle, "data/training/doodle", 2_000_000)
    doodle.set_defaults(kind=_doodle)
    _add_scenes(
        kinds.add_parser("scenes", help="captioned pictures composed of pictograms, to learn from or test with")
    )
    _add_image_text(
        kinds.add_parser(
            "image-text",
            aliases=["reader"],  # the old name, until version 0.3
            help="an image-text model, which scores how near pictures are to words, and a captioner",
        )
    )
    _add_features(kinds.add_parser("features", help="what limner evaluate compares pictures by, fitted to your own"))


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
    data.set_defaults(kind=_data)


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
    kind.set_defaults(kind=_diffusion)


def _add_autoencoder(kind: argparse.ArgumentParser) -> None:
    _add_pictures(kind)
    _add_common(kind, "data/training/autoencoder", 48_000)
    kind.set_defaults(kind=_autoencoder)


def _add_lora(kind: argparse.ArgumentParser) -> None:
    kind.add_argument("model", metavar="MODEL", help="a name of LIMNER_MODELS, a diffusers folder or a hub name")
    _add_pictures(kind)
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
    kind.set_defaults(kind=_lora)


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
    kind.set_defaults(kind=_one_pass, family=family, image_text_model=None)


def _add_cyclegan(kind: argparse.ArgumentParser) -> None:
    kind.add_argument("a", type=Path, metavar="DIR_A", help="a folder that limner train data has made")
    kind.add_argument("b", type=Path, metavar="DIR_B", help="one with pictures of the other kind")
    _add_common(kind, "data/training/cyclegan", 40_000)
    kind.add_argument("--width", type=whole(1, 4096), default=32, metavar="N", help="channels at the finest level (32)")
    kind.add_argument("--blocks", type=whole(1, 100), default=6, metavar="N", help="residual blocks in the middle (6)")
    kind.set_defaults(kind=_cyclegan)


def _add_scenes(kind: argparse.ArgumentParser) -> None:
    kind.add_argument("folder", type=Path, metavar="DIR", help="where they go")
    kind.add_argument("--count", type=whole(), default=40_000, metavar="N", help="how many (40,000)")
    kind.add_argument("--held-out", action="store_true", help="only combinations that the others never have")
    kind.set_defaults(kind=_scenes)


def _add_image_text(kind: argparse.ArgumentParser) -> None:
    _add_pictures(kind)
    _add_common(kind, "data/training/image-text", 400_000)
    kind.add_argument("--words", type=Path, metavar="DIR", help="a CLIP text encoder's folder (made of a download)")
    kind.set_defaults(kind=_image_text)


def _add_features(kind: argparse.ArgumentParser) -> None:
    _add_pictures(kind)
    kind.add_argument("--out", type=Path, metavar="DIR", help="where the result goes (data/training/features)")
    kind.set_defaults(kind=_features)


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


def _data(arguments: argparse.Namespace) -> None:
    from limner.generators.training.data.collect import collect

    folder = arguments.folder.resolve()
    out = arguments.out or folder.with_name(folder.name + "-ready")
    kept = {"side": arguments.side, "variants": arguments.variants, "test": arguments.test, "seed": arguments.seed}
    print(collect(folder, out, captioned=not arguments.no_captions, **kept))
    print(shown(sentence("It is in {out}; look at contacts.png.", out=out)))


def _diffusion(arguments: argparse.Namespace) -> None:
    from limner.generators.training.data.picture_folder import learnt_part
    from limner.generators.training.families.diffusion import AUTOENCODER, DENOISER, DiffusionRecipe, train_diffusion

    recipe = DiffusionRecipe(
        pictures=learnt_part(arguments.pictures),
        folder=arguments.out or arguments.training / "diffusion",
        words=_model(arguments, arguments.words),
        autoencoder=arguments.autoencoder and _model(arguments, arguments.autoencoder),
        objective=arguments.objective,
        widths=arguments.widths,
        autoencoder_plan=replace(AUTOENCODER, **_chosen(arguments)),
        plan=_planned(replace(DENOISER, batch=arguments.batch), arguments),
    )
    _tell(train_diffusion(recipe, minutes=arguments.max_minutes, processes=arguments.processes))


def _autoencoder(arguments: argparse.Namespace) -> None:
    from limner.generators.training.data.picture_folder import learnt_part
    from limner.generators.training.families.autoencoder import train_autoencoder
    from limner.generators.training.families.diffusion import AUTOENCODER
    from limner.generators.training.processes import launch

    folder = arguments.out or arguments.training / "autoencoder"
    plan = _planned(AUTOENCODER, arguments)
    pictures = learnt_part(arguments.pictures)
    launch(train_autoencoder, arguments.processes, pictures, folder, plan, arguments.max_minutes, batch=plan.batch)
    _tell(folder if (folder / "vae").is_dir() else None)


def _lora(arguments: argparse.Namespace) -> None:
    from limner.generators.training.data.picture_folder import learnt_part
    from limner.generators.training.families.lora import PLAN, LoRARecipe, train_lora

    if not re.fullmatch(r"[A-Za-z0-9_-]{1,40}", arguments.name):
        raise TrainingError(sentence("The option --name needs letters, digits, - and _ only."))
    known = arguments.model in arguments.models
    steps = {"batch": arguments.batch * arguments.accumulate, "accumulation": arguments.accumulate}
    recipe = LoRARecipe(
        model=_model(arguments, arguments.model),
        pictures=learnt_part(arguments.pictures),
        folder=arguments.out or arguments.training / f"lora-{arguments.name}",
        installed=arguments.loras / arguments.model / f"{arguments.name}.safetensors" if known else None,
        rank=arguments.rank,
        plan=_planned(replace(PLAN, **steps), arguments),
        fits_rate=arguments.learning_rate is None,
        checkpoints_gradients=arguments.gradient_checkpointing,
    )
    file = train_lora(recipe, minutes=arguments.max_minutes, processes=arguments.processes)
    _tell(file)
    if file and known:
        print(
            shown(
                sentence(
                    "Ask for it with /imagine model:{model} lora:{name}.", model=arguments.model, name=arguments.name
                )
            )
        )


def _one_pass(arguments: argparse.Namespace) -> None:
    from limner.generators.training.data.picture_folder import learnt_part
    from limner.generators.training.families.one_pass import PLANS, OnePassRecipe, train_one_pass

    recipe = OnePassRecipe(
        family=arguments.family,
        pictures=learnt_part(arguments.pictures),
        folder=arguments.out or arguments.training / arguments.family,
        words=arguments.words if arguments.words == "smollm2" else _model(arguments, arguments.words),
        image_text_model=arguments.image_text_model,
        width=arguments.width,
        plan=_planned(PLANS[arguments.family], arguments),
    )
    _tell(train_one_pass(recipe, minutes=arguments.max_minutes, processes=arguments.processes or 1))


def _cyclegan(arguments: argparse.Namespace) -> None:
    from limner.generators.training.data.picture_folder import learnt_part
    from limner.generators.training.families.cyclegan import PLAN, CycleGANRecipe, train_cyclegan

    recipe = CycleGANRecipe(
        a=learnt_part(arguments.a),
        b=learnt_part(arguments.b),
        folder=arguments.out or arguments.training / "cyclegan",
        width=arguments.width,
        blocks=arguments.blocks,
        plan=_planned(PLAN, arguments),
    )
    for folder in train_cyclegan(recipe, minutes=arguments.max_minutes, processes=arguments.processes or 1):
        _tell(folder)


def _doodle(arguments: argparse.Namespace) -> None:
    from limner.generators.training.doodle.recipe import train_doodle

    folder = arguments.out or arguments.training / "doodle"
    train_doodle(
        folder,
        minutes=arguments.max_minutes,
        processes=arguments.processes,
        samples=arguments.samples,
        chosen=_chosen(arguments),
    )


def _scenes(arguments: argparse.Namespace) -> None:
    from limner.generators.training.data import downloads
    from limner.generators.training.doodle.pictograms import Pictograms, read_nouns
    from limner.generators.training.doodle.scenes import SceneMaker, compose

    archive = downloads.fetch(downloads.PICTOGRAMS, arguments.folder / "downloads")
    maker = SceneMaker(Pictograms(archive, read_nouns()), held_out=arguments.held_out)
    compose(arguments.folder, maker, 0, arguments.count)


def _image_text(arguments: argparse.Namespace) -> None:
    from limner.generators.training.data.picture_folder import learnt_part
    from limner.generators.training.families.clip_and_captioner import train_reading

    folder = arguments.out or arguments.training / "image-text"
    figures = train_reading(
        learnt_part(arguments.pictures),
        folder,
        encoder=arguments.words,
        samples=arguments.samples,
        chosen=_chosen(arguments),
        minutes=arguments.max_minutes,
        processes=arguments.processes,
    )
    for name, value in figures.items():
        print(f"{name} {value:.3f}")
    _tell(folder / "image-text")


def _planned(plan: Plan, arguments: argparse.Namespace) -> Plan:
    return replace(plan, samples=arguments.samples, **_chosen(arguments))


def _chosen(arguments: argparse.Namespace) -> dict[str, Any]:
    """Overrides for every stage's plan, such as a given learning rate."""
    rate = arguments.learning_rate
    changed = {"seed": arguments.seed, "tensorboard": arguments.tensorboard}
    changed["checkpoint_seconds"] = arguments.checkpoint_every
    return changed | ({"learning_rate": rate} if rate else {})


def _features(arguments: argparse.Namespace) -> None:
    from limner.generators.training.data.picture_folder import PictureFolder, learnt_part
    from limner.generators.training.evaluation.features import fit

    folder = arguments.out or Path("data/training/features")
    fit(PictureFolder(learnt_part(arguments.pictures)), folder)
    _tell(folder)


def _model(arguments: argparse.Namespace, name: str) -> str:
    """The folder of an offered or shipped model; other names are folders or hub names themselves."""
    shipped = PRETRAINED / name.removeprefix("pretrained:")
    return arguments.models.get(name) or (str(shipped) if shipped.is_dir() else name)


def _tell(result: Path | None) -> None:
    if result:
        print(shown(sentence("It is in {result}.", result=result)))
