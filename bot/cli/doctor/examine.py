"""`limner doctor`: checks the installation, and names the command or setting that fixes each problem."""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
from collections.abc import AsyncIterator
from dataclasses import asdict, replace
from pathlib import Path

from limner.bot.cli.doctor import (
    comfy,
    embeddings,
    encryption,
    machine,
    models,
    servers,
    signing,
    speed,
    text_classifier,
)
from limner.bot.cli.doctor.check import Check
from limner.bot.cli.doctor.discord_rights import discord_rights
from limner.bot.cli.permissions import DISCORD, invite_link
from limner.bot.errors import SetupError
from limner.bot.settings import Settings
from limner.bot.settings.sources import outdated
from limner.bot.translation import N_, _
from limner.generators.measured import Measured

STEPS = N_("""\
To be on Discord:
  1. At https://discord.com/developers/applications make an application; under Bot press Reset Token and copy the
     token. No privileged intent is needed.
  2. Give the token to Limner: LIMNER_TOKEN=... in the environment, or token = "..." in {file}.
  3. {limner} migrate
  4. Open this link and choose your server:
     {link}
  5. {limner} run""")


async def examine(data: Path | None, *, as_json: bool = False, api: str = DISCORD) -> int:
    """Run all checks and print them; the exit code is 1 if one of them keeps Limner from working."""
    checks = [Check("ok", f"Python {sys.version.split()[0]}")]
    login = None
    file = (data or Path(os.environ.get("LIMNER_DATA") or "data")) / "limner.toml"
    try:
        settings = Settings.load(data=data)
    except SetupError as error:
        checks.append(Check("fail", str(error), _("edit {file}, or the environment", file=file)))
    else:
        checks += [check async for check in _look(settings)]
        login, found = await discord_rights(settings, api)
        checks += found
    link = invite_link(login.application_id if login else "APPLICATION_ID")
    limner = f"limner --data {shlex.quote(str(data))}" if data else "limner"
    checks = [replace(one, mend=re.sub(r"^limner(?= )", lambda _found: limner, one.mend)) for one in checks]
    if as_json:
        print(json.dumps({"checks": [asdict(check) for check in checks], "invite": link}))
    else:
        print("\n".join(map(_line, checks)), _(STEPS, file=file, link=link, limner=limner), sep="\n\n")
    return 1 if any(check.status == "fail" for check in checks) else 0


async def _look(settings: Settings) -> AsyncIterator[Check]:
    yield Check("ok", _("the settings can be read"))
    for old, new in outdated(settings.data).items():
        yield Check("warn", _("the setting {old} is deprecated and goes with the next release", old=old), new)
    yield machine.data_folder(settings.data)
    database = await machine.database_state(settings)
    yield database
    if database.status == "ok" and (skew := await machine.clock(settings)):
        yield skew
    if database.status == "ok":
        yield await encryption.encryption(settings)
    for check in machine.styles(settings):
        yield check
    for problem in settings.broken_models.values():
        yield Check("fail", problem, _("mend that; until then the model is not offered"))
    is_set_up = database.status == "ok"
    workers = await machine.workers_alive(settings) if is_set_up else ()
    tried = await models.try_models(settings) if is_set_up and not workers and settings.executor == "local" else {}
    measured = Measured(settings.measured_file)
    for card in settings.cards.values():
        yield models.image_model(card, tried.get(card.name))
        for check in (*models.references(card), *speed.measured(card, measured, settings)):
            yield check
    yield await models.language_model(settings)
    yield await models.safety_classifier(settings)
    yield await text_classifier.text_classifier(settings)
    yield models.image_text_model(settings)
    yield await embeddings.embedder(settings, is_set_up=is_set_up)
    yield await embeddings.pictures(settings, is_set_up=is_set_up)
    yield signing.certificate(settings)
    if settings.trustmark_folder:
        yield signing.trustmark(settings.trustmark_folder)
    yield machine.metrics(settings)
    if settings.captioner:
        yield models.captioner(Path(settings.captioner))
    if settings.segmentation_model:
        yield models.segmentation_model(settings.segmentation_source)
    if settings.restoration_model:
        yield models.restoration_model(Path(settings.restoration_source))
    if settings.upscaler:
        yield models.upscaler(Path(settings.upscaler))
    if settings.executor == "ray":
        yield await servers.ray(settings)
    if settings.executor == "openai":
        async for check in servers.images_servers(settings):
            yield check
    if settings.executor == "comfy":
        async for check in comfy.servers(settings):
            yield check
    if settings.executor == "local" and settings.cards:  # otherwise the devices are on other machines
        async for check in machine.devices(settings):
            yield check
    if is_set_up:
        yield machine.workers(workers)


def _line(check: Check) -> str:
    return f"{check.status:<5} {check.what}" + (f"\n      -> {check.mend}" if check.mend else "")
