"""Limner inside a discord.py bot: `setup` opens it, `teardown` closes it in reverse."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Any, cast

from discord import app_commands
from discord.ext import commands

from limner.bot.app import App, open_app
from limner.bot.background import running
from limner.bot.cogs.animate import Animate
from limner.bot.cogs.bans import BansCog
from limner.bot.cogs.blend import Blend
from limner.bot.cogs.describe import Describe, describe_menu
from limner.bot.cogs.filter import commands as filter_commands
from limner.bot.cogs.filter.commands import Filters
from limner.bot.cogs.forms import Forms
from limner.bot.cogs.help import Help
from limner.bot.cogs.history import HistoryCog
from limner.bot.cogs.imagine import Imagine
from limner.bot.cogs.improve import Improve
from limner.bot.cogs.lists import Lists
from limner.bot.cogs.me import Me
from limner.bot.cogs.message_menus import message_menus
from limner.bot.cogs.models import Models
from limner.bot.cogs.pictures import BlockChoice, Pictures, block_menu
from limner.bot.cogs.privacy import EraseButton, Privacy, PrivacyButton
from limner.bot.cogs.queue import Queue
from limner.bot.cogs.review import ReviewCog
from limner.bot.cogs.server import commands as server_commands
from limner.bot.cogs.server.commands import ServerCog
from limner.bot.cogs.servers import ServersCog
from limner.bot.cogs.settings import SettingButton, SettingsCog, SettingSelect
from limner.bot.cogs.strikes import StrikesCog
from limner.bot.cogs.verify import Verify, verify_menu
from limner.bot.settings import Settings
from limner.bot.settings.current_cards import keep_looking
from limner.bot.storage.migrate import check
from limner.bot.ui.command_names import CommandNames
from limner.bot.ui.delivery.delivery import Delivery
from limner.bot.ui.delivery.erasing import Eraser
from limner.bot.ui.delivery.exporting import Exporter
from limner.bot.ui.delivery.gallery_channel import GalleryPoster
from limner.bot.ui.delivery.places import Places
from limner.bot.ui.job.comparing import PreferButton
from limner.bot.ui.job.favourites import FavouriteButton, StarButton
from limner.bot.ui.job.job_buttons import JobButton
from limner.bot.ui.job.ratings import RateButton
from limner.bot.ui.job.restyle import RestyleButton, RestyleChoice
from limner.bot.ui.listing import ListingButton
from limner.bot.ui.picture.card import HistoryButton, OpenPicture
from limner.bot.ui.picture.family import FamilyButton
from limner.bot.ui.picture.gallery import AlikeButton, TurnButton
from limner.bot.ui.picture.moving import MoveChoice
from limner.bot.ui.picture.picture_buttons import MakeButton, PictureButton, TakeButton, TendButton
from limner.bot.ui.request.accept_rules import AcceptButton
from limner.bot.ui.request.again import AgainButton
from limner.bot.ui.request.asking import GoButton
from limner.bot.ui.review.appeal import AppealButton
from limner.bot.ui.review.floor_poster import FloorPoster
from limner.bot.ui.review.review_cards import ReviewButton, ShowButton
from limner.bot.ui.review.review_poster import ReviewPoster
from limner.bot.web.server import serving_metrics
from limner.bot.worker.ray_pool import RayWorkers
from limner.bot.worker.supervisor import Supervisor

AnyBot = commands.Bot | commands.AutoShardedBot

APP, SETTINGS, OPEN, EARLY = "limner", "limner_settings", "limner_open", "limner_early"
"""Attributes of the client that hold the App, the host's Settings, the exit stack and a worker that runs already."""
BUTTONS = (
    JobButton,
    HistoryButton,
    OpenPicture,
    TurnButton,
    AcceptButton,
    AgainButton,
    AppealButton,
    GoButton,
    ReviewButton,
    ShowButton,
    BlockChoice,
    PictureButton,
    MakeButton,
    TakeButton,
    TendButton,
    MoveChoice,
    FamilyButton,
    AlikeButton,
    StarButton,
    FavouriteButton,
    RateButton,
    PreferButton,
    RestyleButton,
    RestyleChoice,
    ListingButton,
    PrivacyButton,
    EraseButton,
    SettingSelect,
    SettingButton,
    *filter_commands.ITEMS,
    *server_commands.ITEMS,
)
COGS = (
    Imagine,
    Animate,
    Blend,
    Help,
    Models,
    Queue,
    HistoryCog,
    Describe,
    Verify,
    Improve,
    Lists,
    Me,
    SettingsCog,
    Privacy,
    Filters,
    ServerCog,
    ReviewCog,
    StrikesCog,
    BansCog,
    Pictures,
    Forms,
    Places,
)


async def load(bot: AnyBot) -> None:
    """Add Limner to a bot, with the `Settings` in ``bot.limner_settings`` or the environment's.

    Raises:
        SetupError: the settings or the database cannot be used; its text says what to do.
    """
    settings = cast("Settings | None", vars(bot).get(SETTINGS)) or Settings.load()
    await check(settings.url)
    async with AsyncExitStack() as stack:
        app = await stack.enter_async_context(open_app(settings))
        await _add_commands(bot, app, stack)
        early = vars(bot).pop(EARLY, None)
        ray = settings.executor == "ray"
        workers = RayWorkers(settings, app.jobs) if ray else Supervisor(settings, app.jobs, early=early)
        await stack.enter_async_context(workers)
        await stack.enter_async_context(running(Delivery(app, bot).run(), "limner-delivery"))
        await stack.enter_async_context(running(ReviewPoster(app, bot).run(), "limner-review-cards"))
        await stack.enter_async_context(running(GalleryPoster(app, bot).run(), "limner-gallery"))
        if settings.floor_channel:
            await stack.enter_async_context(running(FloorPoster(app, bot).run(), "limner-floor"))
        await stack.enter_async_context(running(app.meaning.fill(), "limner-meaning"))
        await stack.enter_async_context(running(keep_looking(settings), "limner-models"))
        await stack.enter_async_context(running(Eraser(app, bot).run(), "limner-eraser"))
        await stack.enter_async_context(running(Exporter(app, bot).run(), "limner-exporter"))
        await stack.enter_async_context(serving_metrics(app, bot.is_ready))
        vars(bot)[OPEN] = stack.pop_all()


async def unload(bot: AnyBot) -> None:
    """Remove Limner from a bot, after discord.py has removed the commands."""
    stack = cast("AsyncExitStack | None", vars(bot).pop(OPEN, None))
    if stack:
        await stack.aclose()


async def _add_commands(bot: AnyBot, app: App, stack: AsyncExitStack) -> None:
    vars(bot)[APP] = app
    stack.callback(vars(bot).pop, APP)
    bot.add_dynamic_items(*BUTTONS)
    stack.callback(bot.remove_dynamic_items, *BUTTONS)
    if bot.tree.translator is None:  # a host bot may have one of its own
        await bot.tree.set_translator(CommandNames())
        stack.push_async_callback(bot.tree.set_translator, None)
    for cog in COGS:
        await bot.add_cog(cog(app))
    await bot.add_cog(ServersCog(app, bot))
    for menu in (block_menu(), describe_menu(), verify_menu(), *message_menus()):
        _add_menu(bot.tree, menu)
        stack.callback(bot.tree.remove_command, menu.name, type=menu.type)


def _add_menu(tree: app_commands.CommandTree[Any], menu: app_commands.ContextMenu) -> None:
    """Add an entry to the messages' menu.

    discord.py 2.7 adds 5 and then raises, and Discord has taken 15 since March 2026 (change log of its API).
    """
    menus: dict[tuple[str, int | None, int], app_commands.ContextMenu] = vars(tree)["_context_menus"]
    key = (menu.name, None, menu.type.value)
    if key in menus:
        raise app_commands.CommandAlreadyRegistered(menu.name, None)
    menus[key] = menu
