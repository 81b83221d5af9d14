"""Declares an option that does not exist, before anything reads the options, and prints where it is found after that.

`test_options.py` runs it in a process of its own.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from limner.bot.options import declarations
from limner.bot.options.fields import InRequest
from limner.bot.options.option import Option, OptionKind

MASK = Option(
    name="mask",
    help="Which part of a picture is painted",
    kind=OptionKind.NAME,
    kept=InRequest("mask"),
    flags=("mask",),
    example="sky",
    label="Painted part",
    key="Mask",
)
declarations.OPTIONS = (*declarations.OPTIONS, MASK)


async def find(data: Path) -> dict[str, Any]:
    """Where the option is, by the doors that people use."""
    from limner.bot import submit
    from limner.bot.app import open_app
    from limner.bot.cli.arguments import build_parser
    from limner.bot.cogs.imagine import Imagine
    from limner.bot.options.ask import Ask
    from limner.bot.options.parameters import parameters
    from limner.bot.place import OUTSIDE
    from limner.bot.settings import Settings
    from limner.bot.storage import migrate
    from limner.bot.ui.job.job_details import details
    from limner.bot.ui.request.imagine_form import read_options
    from tests.test_docs import option_rows

    settings = Settings(data=data, expander="off", safety_classifier="off", workers=0)
    await migrate.upgrade(settings.url)
    async with open_app(settings) as app:
        job = await submit.imagine(app, Ask(text="a fox --mask sky"))
        remixed = await submit.imagine(app, submit.remixed(app, job, "a fox in snow", "", user_id=0, where=OUTSIDE))
        chosen = await submit.imagine(app, Ask(text="a fox", options={"mask": "sea"}))
        return {
            "slash command": [one.description for one in Imagine.imagine.parameters if one.name == "mask"],
            "flag": job.request["mask"],
            "option": chosen.request["mask"],
            "form": read_options("mask: sky"),
            "Remix": remixed.request["mask"],
            "Details": {field.name: field.value for field in details(job, app.styles).fields}.get("Painted part"),
            "parameters": parameters(job, settings.default_card, 7).split(", Mask: ")[1].split(",")[0],
            "limner imagine": build_parser().parse_args(["imagine", "a fox", "--mask", "sky"]).mask,
            "docs/members.md": option_rows()[-1],
        }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(find(Path(sys.argv[1])))))
