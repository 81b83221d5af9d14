"""What each kind of `limner train` does; each one imports what it needs, so that importing this imports no torch."""

from __future__ import annotations

import argparse
import re
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from limner.generators.sentences import sentence, shown
from limner.generators.training.errors import TrainingError

if TYPE_CHECKING:
    from limner.generators.training.families.lora import LoRARecipe
    from limner.generators.training.plan import Plan

PREFERRED = "preferred"
"""The folder in a LoRA's with the pairs that it learns from."""
PRETRAINED = Path(__file__).resolve().parent.parent / "pretrained"


def data(arguments: argparse.Namespace) -> None:
    """Prepare a folder of pictures."""
    from limner.generators.training.data.collect import collect

    folder = arguments.folder.resolve()
    out = arguments.out or folder.with_name(folder.name + "-ready")
    kept = {"side": arguments.side, "variants": arguments.variants, "test": arguments.test, "seed": arguments.seed}
    print(collect(folder, out, captioned=not arguments.no_captions, **kept))
    print(shown(sentence("It is in {out}; look at contacts.png.", out=out)))


def diffusion(arguments: argparse.Namespace) -> None:
    """Train a latent-diffusion model."""
    from limner.generators.training.data.picture_folder import learnt_part
    from limner.generators.training.families.diffusion import AUTOENCODER, DENOISER, DiffusionRecipe, train_diffusion

    recipe = DiffusionRecipe(
        pictures=learnt_part(arguments.pictures),
        folder=arguments.out or arguments.training / "diffusion",
        words=model_source(arguments, arguments.words),
        autoencoder=arguments.autoencoder and model_source(arguments, arguments.autoencoder),
        objective=arguments.objective,
        widths=arguments.widths,
        autoencoder_plan=replace(AUTOENCODER, **_chosen(arguments)),
        plan=_planned(replace(DENOISER, batch=arguments.batch), arguments),
    )
    tell(train_diffusion(recipe, minutes=arguments.max_minutes, processes=arguments.processes))


def autoencoder(arguments: argparse.Namespace) -> None:
    """Train a diffusion model's autoencoder."""
    from limner.generators.training.data.picture_folder import learnt_part
    from limner.generators.training.families.autoencoder import train_autoencoder
    from limner.generators.training.families.diffusion import AUTOENCODER
    from limner.generators.training.processes import launch

    folder = arguments.out or arguments.training / "autoencoder"
    plan = _planned(AUTOENCODER, arguments)
    pictures = learnt_part(arguments.pictures)
    launch(train_autoencoder, arguments.processes, pictures, folder, plan, arguments.max_minutes, batch=plan.batch)
    tell(folder if (folder / "vae").is_dir() else None)


def lora(arguments: argparse.Namespace) -> None:
    """Train a LoRA of one of the models on offer, or of a folder."""
    from limner.generators.training.families.lora import PLAN, LoRARecipe, train_lora

    if [arguments.pictures, arguments.liked, arguments.pairs].count(None) != 2:
        raise TrainingError(
            sentence(
                "Name one thing to learn from: a folder of pictures, --liked with the id of a member or server, or "
                "--pairs with the lines of limner ratings --pairs."
            )
        )
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,40}", arguments.name):
        raise TrainingError(sentence("The option --name needs letters, digits, - and _ only."))
    known = arguments.model in arguments.models
    steps = {"batch": arguments.batch * arguments.accumulate, "accumulation": arguments.accumulate}
    folder = arguments.out or arguments.training / f"lora-{arguments.name}"
    recipe = LoRARecipe(
        model=model_source(arguments, arguments.model),
        pictures=folder / PREFERRED,
        folder=folder,
        installed=arguments.loras / arguments.model / f"{arguments.name}.safetensors" if known else None,
        rank=arguments.rank,
        plan=_planned(replace(PLAN, **steps), arguments),
        fits_rate=arguments.learning_rate is None,
        checkpoints_gradients=arguments.gradient_checkpointing,
    )
    with _taught(arguments, recipe) as taught:
        file = train_lora(taught, minutes=arguments.max_minutes, processes=arguments.processes)
    tell(file)
    if file and known:
        print(
            shown(
                sentence(
                    "Ask for it with /imagine model:{model} lora:{name}.", model=arguments.model, name=arguments.name
                )
            )
        )


@contextmanager
def _taught(arguments: argparse.Namespace, recipe: LoRARecipe) -> Generator[LoRARecipe]:
    """The recipe with its pictures, or with those that members liked or preferred, for the time of the training."""
    from limner.generators.training.data.picture_folder import learnt_part
    from limner.generators.training.families.diffusion_dpo import BETA
    from limner.generators.training.families.liked_pictures import forget_pictures, square_side, write_pairs
    from limner.generators.training.families.preferences import read_preferences
    from limner.generators.training.processes import once

    if arguments.pictures is not None:
        yield replace(recipe, pictures=learnt_part(arguments.pictures))
    elif arguments.pairs is not None:
        found = once(read_preferences, arguments.pairs)
        tell_left_out(found.left_out)
        once(write_pairs, found.pairs, recipe.pictures, square_side(arguments.card_of(arguments.model)))
        yield replace(recipe, beta=BETA)
        once(forget_pictures, recipe.folder, PREFERRED)
    else:
        liked = arguments.liked_lora(arguments, recipe)
        pictures, are_pairs = once(liked.gather)
        yield replace(recipe, pictures=pictures, beta=BETA if are_pairs else None)
        once(liked.check)


def one_pass(arguments: argparse.Namespace) -> None:
    """Train a VAE or a GAN."""
    from limner.generators.training.data.picture_folder import learnt_part
    from limner.generators.training.families.one_pass import PLANS, OnePassRecipe, train_one_pass

    recipe = OnePassRecipe(
        family=arguments.family,
        pictures=learnt_part(arguments.pictures),
        folder=arguments.out or arguments.training / arguments.family,
        words=arguments.words if arguments.words == "smollm2" else model_source(arguments, arguments.words),
        image_text_model=arguments.image_text_model,
        width=arguments.width,
        plan=_planned(PLANS[arguments.family], arguments),
    )
    tell(train_one_pass(recipe, minutes=arguments.max_minutes, processes=arguments.processes or 1))


def cyclegan(arguments: argparse.Namespace) -> None:
    """Train two models that change pictures into each other."""
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
        tell(folder)


def doodle(arguments: argparse.Namespace) -> None:
    """Train the model that ships."""
    from limner.generators.training.doodle.recipe import train_doodle

    folder = arguments.out or arguments.training / "doodle"
    train_doodle(
        folder,
        minutes=arguments.max_minutes,
        processes=arguments.processes,
        samples=arguments.samples,
        chosen=_chosen(arguments),
    )


def scenes(arguments: argparse.Namespace) -> None:
    """Compose captioned pictures."""
    from limner.generators.training.data import downloads
    from limner.generators.training.doodle.pictograms import Pictograms, read_nouns
    from limner.generators.training.doodle.scenes import SceneMaker, compose

    archive = downloads.fetch(downloads.PICTOGRAMS, arguments.folder / "downloads")
    maker = SceneMaker(Pictograms(archive, read_nouns()), held_out=arguments.held_out)
    compose(arguments.folder, maker, 0, arguments.count, regions=arguments.regions)


def image_text(arguments: argparse.Namespace) -> None:
    """Train an image-text model and its captioner."""
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
    tell(folder / "image-text")


def segmentation(arguments: argparse.Namespace) -> None:
    """Train a segmentation model."""
    from limner.generators.training.data.picture_folder import learnt_part
    from limner.generators.training.families.segmentation import PLAN, train_segmentation

    folder = arguments.out or arguments.training / "segmentation"
    figures = train_segmentation(
        learnt_part(arguments.pictures),
        folder,
        arguments.start or PRETRAINED / "image-text",
        _planned(PLAN, arguments),
        minutes=arguments.max_minutes,
        processes=arguments.processes,
    )
    for name, value in figures.items():
        print(f"{name} {value:.3f}")
    tell(folder / "segmentation")


def restore(arguments: argparse.Namespace) -> None:
    """Train a restoration model."""
    from limner.generators.training.data.picture_folder import learnt_part
    from limner.generators.training.families.restoration import PLAN, train_restoration

    folder = arguments.out or arguments.training / "restore"
    plan = _planned(PLAN, arguments)
    pictures = learnt_part(arguments.pictures)
    figures = train_restoration(pictures, folder, plan, minutes=arguments.max_minutes, processes=arguments.processes)
    for name, figure in figures.items():
        print(f"{name} {figure.before:.1f} -> {figure.after:.1f} dB")
    tell(folder / "restoration")


def style(arguments: argparse.Namespace) -> None:
    """Train a style network."""
    from limner.generators.training.data.picture_folder import learnt_part
    from limner.generators.training.families.style import PLAN, StyleRecipe, train_style

    recipe = StyleRecipe(
        style=arguments.style,
        pictures=learnt_part(arguments.pictures),
        folder=arguments.out or arguments.training / "style",
        image_text_model=PRETRAINED / "image-text",
        plan=_planned(PLAN, arguments),
    )
    figures = train_style(recipe, minutes=arguments.max_minutes, processes=arguments.processes)
    print(shown(sentence("Distance from the style: {style:.2f} of that of unchanged pictures.", style=figures.style)))
    if figures.content is not None:
        print(shown(sentence("Distance in content: {content:.2f} of that of other pictures.", content=figures.content)))
    tell(recipe.folder / "model")


def _planned(plan: Plan, arguments: argparse.Namespace) -> Plan:
    return replace(plan, samples=arguments.samples, **_chosen(arguments))


def _chosen(arguments: argparse.Namespace) -> dict[str, Any]:
    """Overrides for every stage's plan, such as a given learning rate."""
    rate = arguments.learning_rate
    changed = {"seed": arguments.seed, "tensorboard": arguments.tensorboard}
    changed["checkpoint_seconds"] = arguments.checkpoint_every
    return changed | ({"learning_rate": rate} if rate else {})


def features(arguments: argparse.Namespace) -> None:
    """Fit the features that pictures are compared by."""
    from limner.generators.training.data.picture_folder import PictureFolder, learnt_part
    from limner.generators.training.evaluation.features import fit

    folder = arguments.out or Path("data/training/features")
    fit(PictureFolder(learnt_part(arguments.pictures)), folder)
    tell(folder)


def policies(arguments: argparse.Namespace) -> None:
    """Train the head of a text classifier on written examples."""
    from limner.generators.embedders import UniversalSentenceEncoder
    from limner.generators.text_classifiers import EXAMPLES, Head, read_examples

    try:
        examples = read_examples(arguments.examples)
        text = arguments.examples.read_text("utf-8")
    except (OSError, ValueError) as error:
        raise TrainingError(sentence("{file} is not a file of examples.", file=arguments.examples)) from error
    folder = arguments.out or Path("data/training/policies")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / EXAMPLES).write_text(text, "utf-8")
    vectors = UniversalSentenceEncoder.create().embed([one.text for one in examples])
    Head.fit(examples, vectors).save(folder)
    tell(folder)


def model_source(arguments: argparse.Namespace, name: str) -> str:
    """The folder of an offered or shipped model; other names are folders or hub names themselves."""
    shipped = PRETRAINED / name.removeprefix("pretrained:")
    return arguments.models.get(name) or (str(shipped) if shipped.is_dir() else name)


def tell_left_out(number: int) -> None:
    """Print how many choices lack a picture, if any do."""
    if number:
        print(shown(sentence("{number} choices are left out, as a picture is not there.", number=number)))


def tell(result: Path | None) -> None:
    """Print where the result is, if there is one."""
    if result:
        print(shown(sentence("It is in {result}.", result=result)))
