"""The composition root: everything with state, opened in order and closed in reverse."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from limner.bot.background import CommandsFirst
from limner.bot.filters.content_filter import ContentFilter
from limner.bot.filters.policies import PolicyReader
from limner.bot.guild_settings import Guilds
from limner.bot.moderation.appeals import Appeals
from limner.bot.moderation.bans import Bans
from limner.bot.moderation.blocked_images import BlockedPictures
from limner.bot.moderation.evasion import Evasion
from limner.bot.moderation.floor_hits import FloorHits
from limner.bot.moderation.house_rules import HouseRules
from limner.bot.moderation.image_policy import ImagePolicy
from limner.bot.moderation.quarantine import Quarantine
from limner.bot.moderation.quotas import Quotas
from limner.bot.moderation.refusals import Refusals
from limner.bot.moderation.reports import MemberReports
from limner.bot.moderation.reviews import Reviews
from limner.bot.moderation.strikes import Strikes
from limner.bot.provenance.trustmark_code import DECODER, ENCODER
from limner.bot.queue.jobs import JobQueue
from limner.bot.queue.outbox import Outbox
from limner.bot.queue.steering import Steering
from limner.bot.queue.worker_registry import WorkerRegistry
from limner.bot.settings import Settings
from limner.bot.storage.cipher import Cipher
from limner.bot.storage.db import Database
from limner.bot.storage.encryption import check_keys
from limner.bot.storage.erasures import Erasures
from limner.bot.storage.exports import Exports
from limner.bot.storage.history.alike import Alike
from limner.bot.storage.history.favourites import Favourites
from limner.bot.storage.history.gallery_posts import GalleryPosts
from limner.bot.storage.history.history import History
from limner.bot.storage.history.meaning import Meaning
from limner.bot.storage.history.pending_asks import PendingAsks
from limner.bot.storage.history.preferences import Preferences
from limner.bot.storage.history.ratings import Ratings
from limner.bot.storage.history.taught_loras import TaughtLoras
from limner.bot.storage.members import Members
from limner.bot.storage.pictures.budget import ByteBudget
from limner.bot.storage.pictures.decoder import PictureDecoder
from limner.bot.storage.pictures.image_store import ImageStore
from limner.bot.storage.pictures.input_images import Inputs
from limner.bot.storage.private_files import close_folder_to_others
from limner.bot.storage.servers import Servers
from limner.bot.storage.wildcard_lists import WildcardLists
from limner.bot.styles import Styles
from limner.bot.wildcards import FOLDER, Wildcards
from limner.generators.cards.model_card import DAMAGED_WEIGHTS, UNLOADABLE
from limner.generators.measured import Measured

log = logging.getLogger(__name__)

SUGGESTED_AT_ONCE = 20
"""Autocompletes that are answered at the same time."""
SUGGESTING_PATIENCE = 1.0
"""Longest that an autocomplete waits while commands are answered, in seconds."""


@dataclass(frozen=True)
class App:
    """All objects with state, by name."""

    settings: Settings
    measured: Measured
    database: Database
    jobs: JobQueue
    outbox: Outbox
    steering: Steering
    worker_registry: WorkerRegistry
    history: History
    erasures: Erasures
    exports: Exports
    servers: Servers
    images: ImageStore
    decoder: PictureDecoder
    held: ByteBudget
    inputs: Inputs
    pending: PendingAsks
    guilds: Guilds
    meaning: Meaning
    alike: Alike
    members: Members
    favourites: Favourites
    gallery_posts: GalleryPosts
    ratings: Ratings
    preferences: Preferences
    taught_loras: TaughtLoras
    blocked: BlockedPictures
    quarantine: Quarantine
    image_policy: ImagePolicy
    quotas: Quotas
    house_rules: HouseRules
    floor_hits: FloorHits
    filters: ContentFilter
    styles: Styles
    wildcards: Wildcards
    reviews: Reviews
    reports: MemberReports
    strikes: Strikes
    bans: Bans
    #: The turns of those who type an option with suggestions.
    suggesting: CommandsFirst
    appeals: Appeals
    refusals: Refusals
    evasion: Evasion


@asynccontextmanager
async def open_app(settings: Settings) -> AsyncGenerator[App]:
    """Build the App on an up-to-date database; raises SetupError with what to do."""
    close_folder_to_others(settings.data)
    _check_signing(settings)
    _check_trustmark(settings)
    cipher = Cipher(settings.encryption_keys)
    database = Database(settings.url, cipher)
    images = ImageStore(settings.data / "images", cipher)
    decoder = PictureDecoder(images, settings.max_input_pixels, settings.signing)
    guilds = Guilds(database)
    jobs = JobQueue(
        database,
        lease_seconds=settings.lease_seconds,
        max_attempts=settings.max_attempts,
        server_weights=settings.weights_of_servers,
    )
    blocked = BlockedPictures(database, guilds)
    quarantine = Quarantine(jobs)
    policies = PolicyReader(settings)
    filters = ContentFilter(database, guilds, policies)
    history, meaning = History(database, images), Meaning(database, settings.embedder)
    alike = Alike(database, settings.image_text_model)
    reviews, strikes, refusals = Reviews(database), Strikes(database), Refusals(history)
    try:
        await check_keys(database)
        yield App(
            settings=settings,
            measured=Measured(settings.measured_file),
            database=database,
            jobs=jobs,
            outbox=Outbox(database),
            steering=Steering(jobs),
            worker_registry=WorkerRegistry(database, lease_seconds=settings.lease_seconds),
            history=history,
            erasures=Erasures(database, history),
            exports=Exports(database),
            servers=Servers(database, history),
            images=images,
            decoder=decoder,
            held=ByteBudget(),
            inputs=Inputs(database, images, decoder, settings),
            pending=PendingAsks(database, history),
            guilds=guilds,
            meaning=meaning,
            alike=alike,
            members=Members(database),
            favourites=Favourites(database),
            gallery_posts=GalleryPosts(database),
            ratings=Ratings(database),
            preferences=Preferences(database),
            taught_loras=TaughtLoras(database),
            blocked=blocked,
            quarantine=quarantine,
            image_policy=ImagePolicy(settings, guilds, blocked, quarantine),
            quotas=Quotas(database, guilds),
            house_rules=HouseRules(database, guilds),
            floor_hits=FloorHits(database),
            filters=filters,
            styles=_styles(settings),
            wildcards=Wildcards(settings.data / FOLDER, WildcardLists(database)),
            reviews=reviews,
            reports=MemberReports(database, guilds, reviews),
            strikes=strikes,
            bans=strikes.bans,
            suggesting=CommandsFirst(SUGGESTED_AT_ONCE, SUGGESTING_PATIENCE),
            appeals=Appeals(guilds, filters, jobs, reviews),
            refusals=refusals,
            evasion=Evasion(guilds, filters, refusals, jobs, strikes),
        )
    finally:
        filters.close()
        await meaning.close()
        await alike.close()
        await policies.close()
        await database.close()


def _check_signing(settings: Settings) -> None:
    if settings.signing.is_set_up:
        from limner.bot.provenance.certificates import CannotSign, load  # takes 0.1 s, which most starts can save

        try:
            load(settings.signing)
        except CannotSign:
            log.error("pictures_unsigned; limner doctor says why")


def _check_trustmark(settings: Settings) -> None:
    folder = settings.trustmark_folder
    if folder and not all((folder / name).is_file() for name in (ENCODER, DECODER)):
        log.error("trustmark_missing; limner doctor says why")


def _styles(settings: Settings) -> Styles:
    unloadable = (name for name, card in settings.cards.items() if card.problem in (UNLOADABLE, DAMAGED_WEIGHTS))
    for name in (*settings.broken_models, *unloadable):
        log.warning("model_ignored model=%s; limner doctor names what is wrong with its files", name)
    styles = Styles.load(settings.styles)
    if styles.problems:
        log.warning("styles_ignored count=%d; limner doctor names them", len(styles.problems))
    return styles
