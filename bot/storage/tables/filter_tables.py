"""Tables of each server: filter rules, settings, and the log of their changes."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Double,
    Index,
    String,
    Text,
    false,
    true,
)
from sqlalchemy.orm import Mapped, mapped_column

from limner.bot.storage.tables.base import Base, RowId, Snowflake


class RuleRow(Base, kw_only=True, eq=False):
    """A text that is blocked (or allowed) in one server or everywhere (``guild_id`` 0); or a whole pack of them."""

    __tablename__ = "rules"

    id: Mapped[int] = mapped_column(RowId, primary_key=True, init=False)
    guild_id: Mapped[int] = mapped_column(Snowflake)
    #: `bot.filters.rules.RuleKind`, or ``pack``.
    kind: Mapped[str] = mapped_column(String(8), default="word")
    #: As the moderator wrote it; of a pack its name.
    pattern: Mapped[str] = mapped_column(String(260))
    #: The compared form; with ``scope_key`` unique in its server.
    normal_form: Mapped[str] = mapped_column(String(400))
    #: An allow rule: it cancels matches of other rules.
    is_allow: Mapped[bool] = mapped_column(default=False, server_default=false())
    #: It is also looked for glued to other words, and split into several.
    is_strict: Mapped[bool] = mapped_column(default=False, server_default=false())
    action: Mapped[str] = mapped_column(String(8), default="block", server_default="block")
    #: Shown to the member beside the reason code.
    reason: Mapped[str] = mapped_column(String(200), default="", server_default="")
    #: The replacement text, for the action `replace`.
    replacement: Mapped[str] = mapped_column(String(100), default="", server_default="")
    #: `bot.filters.rules.Scope` as JSON, and the same for equal scopes.
    scope: Mapped[dict[str, Any]] = mapped_column(JSON(none_as_null=True), default_factory=dict, server_default="{}")
    scope_key: Mapped[str] = mapped_column(String(16), default="", server_default="")
    #: A rule that is off is a draft.
    is_on: Mapped[bool] = mapped_column(default=True, server_default=true())
    expires_at: Mapped[float | None] = mapped_column(Double, default=None)
    created_by: Mapped[int] = mapped_column(Snowflake)
    created_at: Mapped[float] = mapped_column(Double)

    __table_args__ = (
        Index("uq_rules_guild_id", "guild_id", "is_allow", "normal_form", "scope_key", unique=True),
        # Jobs and changes refer to rules by id, so ids are never reused.
        {"sqlite_autoincrement": True},
    )


class GuildSettingsRow(Base, kw_only=True, eq=False):
    """One server's settings (``guild_id`` 0: outside servers), and the revision of its settings and rules."""

    __tablename__ = "guild_settings"

    guild_id: Mapped[int] = mapped_column(Snowflake, primary_key=True, autoincrement=False)
    #: What differs from the defaults of `bot.guild_settings.GuildSettings`.
    settings: Mapped[dict[str, Any]] = mapped_column(JSON(none_as_null=True), default_factory=dict)
    revision: Mapped[int] = mapped_column(BigInteger, default=0)
    changed_at: Mapped[float] = mapped_column(Double)
    changed_by: Mapped[int] = mapped_column(Snowflake)


class WildcardList(Base, kw_only=True, eq=False):
    """A list for wildcards that a moderator gave to a server."""

    __tablename__ = "wildcard_lists"

    guild_id: Mapped[int] = mapped_column(Snowflake, primary_key=True, autoincrement=False)
    name: Mapped[str] = mapped_column(String(32), primary_key=True)
    #: One text on each line.
    lines: Mapped[str] = mapped_column(Text)


class FilterChange(Base, kw_only=True, eq=False):
    """One change of a server's rules or settings by a moderator, with enough to undo it."""

    __tablename__ = "filter_changes"

    id: Mapped[int] = mapped_column(RowId, primary_key=True, init=False)
    guild_id: Mapped[int] = mapped_column(Snowflake)
    at: Mapped[float] = mapped_column(Double)
    by: Mapped[int] = mapped_column(Snowflake)
    #: add, edit, remove, import, settings, undo ...
    what: Mapped[str] = mapped_column(String(16))
    #: ``{"rules": [rows], "settings": {...}}``, changed parts only.
    before: Mapped[dict[str, Any]] = mapped_column(JSON(none_as_null=True))
    after: Mapped[dict[str, Any]] = mapped_column(JSON(none_as_null=True))
    #: The change that this one undoes.
    undoes: Mapped[int | None] = mapped_column(BigInteger, default=None)

    __table_args__ = (Index("ix_filter_changes_guild_id", "guild_id", "id"), {"sqlite_autoincrement": True})
