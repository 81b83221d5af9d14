"""The table of accepted house rules."""

from __future__ import annotations

from sqlalchemy import Double, String
from sqlalchemy.orm import Mapped, mapped_column

from limner.bot.storage.tables.base import Base, Snowflake


class AcceptedRules(Base, kw_only=True, eq=False):
    """The house rules that a member accepted last in a server."""

    __tablename__ = "accepted_rules"

    guild_id: Mapped[int] = mapped_column(Snowflake, primary_key=True, autoincrement=False)
    user_id: Mapped[int] = mapped_column(Snowflake, primary_key=True, autoincrement=False, index=True)
    #: Of the text (`bot.moderation.house_rules.digest`): another text is asked about again.
    digest: Mapped[str] = mapped_column(String(16))
    accepted_at: Mapped[float] = mapped_column(Double)
