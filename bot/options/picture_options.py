"""The options about given pictures: a picture to start from, references and control pictures."""

from __future__ import annotations

from limner.bot.options import suggestions, unsupported
from limner.bot.options.fields import InRequest, Nowhere
from limner.bot.options.option import Option, OptionKind
from limner.bot.options.reference_fields import (
    LEAST_WEIGHT,
    MOST_OF_ROLE,
    ControlPictures,
    Controls,
    InReferences,
    ReferenceWeight,
)
from limner.bot.translation import N_
from limner.generators.references import Role

LEAST_STRENGTH = 0.05

PICTURE_OPTIONS = (
    Option(
        name="image",
        help=N_("A picture to start from: PNG, JPEG, WebP, GIF or BMP"),
        kind=OptionKind.PICTURE,
        kept=InRequest("init_image"),
        cannot=unsupported.start_picture,
    ),
    Option(
        name="link",
        help=N_("Or the link of a message with a picture to start from, and perhaps the picture's number"),
        kind=OptionKind.LINK,
        kept=Nowhere(),
    ),
    Option(
        name="strength",
        noun=N_("strength"),
        help=N_("How much of that picture may change, up to 1"),
        kind=OptionKind.NUMBER,
        kept=InRequest("strength"),
        flags=("strength",),
        example="0.6",
        least=LEAST_STRENGTH,
        most=1,
        label=N_("Strength"),
        key="Denoising strength",
    ),
    Option(
        name="sref",
        help=N_("A picture whose style is taken; as a flag one of mine, such as 12-1"),
        kind=OptionKind.PICTURE,
        kept=InReferences(Role.STYLE),
        flags=("sref",),
        example="12-1",
        cannot=unsupported.style_reference,
        is_of_model=True,
    ),
    Option(
        name="sw",
        noun=N_("weight of the style reference"),
        help=N_("How much the style reference counts, up to 1"),
        kind=OptionKind.NUMBER,
        kept=ReferenceWeight(Role.STYLE),
        flags=("sw",),
        in_command=False,
        example="0.6",
        least=LEAST_WEIGHT,
        most=1,
        is_of_model=True,
        label=N_("Weight of the style reference"),
        key="Style reference weight",
    ),
    Option(
        name="cref",
        help=N_("A picture whose subject is taken; as a flag one of mine, such as 12-1"),
        kind=OptionKind.PICTURE,
        kept=InReferences(Role.SUBJECT),
        flags=("cref",),
        example="12-1",
        cannot=unsupported.subject_reference,
        is_of_model=True,
    ),
    Option(
        name="cw",
        noun=N_("weight of the subject reference"),
        help=N_("How much the subject reference counts, up to 1"),
        kind=OptionKind.NUMBER,
        kept=ReferenceWeight(Role.SUBJECT),
        flags=("cw",),
        in_command=False,
        example="0.6",
        least=LEAST_WEIGHT,
        most=1,
        is_of_model=True,
        label=N_("Weight of the subject reference"),
        key="Subject reference weight",
    ),
    Option(
        name="blend",
        help=N_("Two to five pictures whose subjects are blended"),
        kind=OptionKind.PICTURE,
        kept=InReferences(Role.BLEND),
        in_command=False,
        most_pictures=MOST_OF_ROLE,
        cannot=unsupported.blend,
        is_of_model=True,
    ),
    Option(
        name="control",
        help=N_("A picture that the composition follows; as a flag one of mine, such as 12-1"),
        kind=OptionKind.PICTURE,
        kept=ControlPictures(),
        flags=("control",),
        example="12-1",
        most_pictures=2,
        cannot=unsupported.control,
        is_of_model=True,
    ),
    Option(
        name="controls",
        help=N_("What is followed: edges, sketch, canny, depth, scribble, pose; weight and steps: edges:0.8:0-0.6"),
        kind=OptionKind.NAME,
        kept=Controls(),
        flags=("controls",),
        wanted=N_("kinds of control"),
        example="edges:0.8",
        suggest=suggestions.controls,
        is_of_model=True,
        label=N_("Control pictures"),
        key="ControlNet",
    ),
)
