"""The options about finished pictures: their size, their cut, their colours."""

from __future__ import annotations

from limner.bot.options.fields import InFinish
from limner.bot.options.option import Option, OptionKind
from limner.bot.translation import N_

MOST_UPSCALE = 4

FINISH_OPTIONS = (
    Option(
        name="upscale",
        noun=N_("upscale"),
        help=N_("How many times as wide and high the finished pictures are"),
        kind=OptionKind.WHOLE,
        kept=InFinish("upscale"),
        flags=("upscale",),
        example="2",
        least=1,
        most=MOST_UPSCALE,
        label=N_("Upscale"),
    ),
    Option(
        name="crop",
        help=N_("The aspect ratio that is cut out of the middle of the finished pictures"),
        kind=OptionKind.RATIO,
        kept=InFinish("crop"),
        flags=("crop",),
        in_command=False,
        example="3:2",
        label=N_("Crop"),
    ),
    Option(
        name="resize",
        help=N_("Width and height of the finished pictures in pixels"),
        kind=OptionKind.SIZE,
        kept=InFinish("resize"),
        flags=("resize",),
        in_command=False,
        example="640x480",
        label=N_("Resize"),
    ),
    Option(
        name="colour",
        noun=N_("colour"),
        help=N_("How colourful the finished pictures are: 0 is grey, 1 as painted"),
        kind=OptionKind.NUMBER,
        kept=InFinish("colour"),
        flags=("colour",),
        in_command=False,
        example="1.2",
        least=0,
        most=3,
        label=N_("Colour"),
    ),
    Option(
        name="sharpen",
        help=N_("How sharp the finished pictures are: 1 is as painted"),
        kind=OptionKind.NUMBER,
        kept=InFinish("sharpness"),
        flags=("sharpen",),
        in_command=False,
        example="1.5",
        noun=N_("sharpness"),
        least=0,
        most=5,
        label=N_("Sharpness"),
    ),
)
