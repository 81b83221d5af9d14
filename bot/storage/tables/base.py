"""What all tables share: column types, names of constraints, and partial indexes."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Index,
    Integer,
    MetaData,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, MappedAsDataclass

Snowflake = BigInteger
Json = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")
List = JSON(none_as_null=True)
RowId = BigInteger().with_variant(Integer, "sqlite")


class Base(MappedAsDataclass, DeclarativeBase):
    """Names every constraint, so that migrations can change it later."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_label)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


def partial_index(name: str, *columns: str, where: str) -> Index:
    """An index of the rows that fulfil a condition.

    It serves only questions that repeat the condition word for word, so each condition is written once.
    """
    return Index(name, *columns, sqlite_where=text(where), postgresql_where=text(where))
