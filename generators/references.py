"""Pictures that a painting refers to without starting from them: styles, subjects, blends and control pictures."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self


class Role(StrEnum):
    """What a painting takes from a given picture: by an IP-Adapter, or by a ControlNet."""

    STYLE = "style"
    SUBJECT = "subject"
    BLEND = "blend"
    CANNY = "canny"
    DEPTH = "depth"
    SCRIBBLE = "scribble"
    POSE = "pose"
    EDGES = "edges"
    SKETCH = "sketch"


class Area(StrEnum):
    """The part of a painting in which an IP-Adapter's picture counts."""

    ALL = "all"
    LEFT = "left"
    RIGHT = "right"
    TOP = "top"
    BOTTOM = "bottom"
    MIDDLE = "middle"


OF_ADAPTERS = (Role.STYLE, Role.SUBJECT, Role.BLEND)
"""Roles of the pictures that IP-Adapters read (Ye et al. 2023)."""
OF_CONTROLNETS = {Role.EDGES: Role.CANNY, Role.SKETCH: Role.SCRIBBLE} | {
    role: role for role in (Role.CANNY, Role.DEPTH, Role.SCRIBBLE, Role.POSE)
}
"""Roles of control pictures with the ControlNet that reads them (Zhang et al. 2023); the control pictures of edges and
sketch are made from any picture, the others are given."""


@dataclass(frozen=True, kw_only=True)
class Reference:
    """A given picture (a path or a ``data:`` URI), and how a painting uses it; JSON in and out.

    ``weight`` is 1 for its full effect. A ControlNet counts from the share ``start`` of the steps to the share ``end``,
    an IP-Adapter's picture in one ``area``, or where the picture file ``mask`` is white.
    """

    role: Role
    picture: str
    weight: float = 1.0
    start: float = 0.0
    end: float = 1.0
    area: Area = Area.ALL
    mask: str = ""

    @property
    def files(self) -> tuple[str, ...]:
        """Its picture, and its mask if it has one."""
        return (self.picture, self.mask) if self.mask else (self.picture,)

    @property
    def place(self) -> str:
        """Names where it counts: equal ones are the same place."""
        return self.mask or str(self.area)

    @property
    def is_control(self) -> bool:
        """Whether a ControlNet reads it."""
        return self.role in OF_CONTROLNETS

    @property
    def kind(self) -> Role:
        """The kind of the ControlNet that reads it."""
        return OF_CONTROLNETS[self.role]

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """Read the dictionary of `dataclasses.asdict`, also from a JSON column."""
        values: dict[str, Any] = {**data, "role": Role(data["role"]), "area": Area(data.get("area", Area.ALL))}
        return cls(**values)
