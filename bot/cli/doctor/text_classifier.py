"""The check of the text classifier, by which rules of /filter policy read what is asked for."""

from __future__ import annotations

import asyncio

from limner.bot.cli.doctor.check import Check
from limner.bot.filters.policies import load_text_classifier
from limner.bot.settings import Settings
from limner.bot.translation import _
from limner.generators.text_classifiers import POLICIES


async def text_classifier(settings: Settings) -> Check:
    """Whether the text classifier can be loaded, and reads a harmless text."""
    name = settings.text_classifier
    try:
        classifier = await asyncio.to_thread(load_text_classifier, settings)
        if classifier is None:
            return Check("ok", _("the text classifier is off, so rules of /filter policy find nothing"))
        try:
            async with asyncio.timeout(settings.text_classifier_timeout):
                await classifier.classify(["a red fox"])
        finally:
            await classifier.close()
    except Exception as error:  # any exception of an unknown classifier means that it cannot be used
        what = _("the text classifier {name} cannot be used ({error})", name=name, error=type(error).__name__)
        return Check("warn", what, _("mend the settings text_classifier...; until then /filter policy finds nothing"))
    return Check("ok", _("text classifier {name}: {policies}", name=name, policies=", ".join(POLICIES)))
