"""Draws a family of requests: thumbnails from the left to the right, the way to one of them marked."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

from limner.bot.storage.pictures.copies import encode

SIDE = 132
"""Width and height of a thumbnail, in pixels."""
GAP, CAPTION, MARGIN = 48, 26, 20
BACKGROUND, EMPTY, LINE, WORDS = "#2b2d31", "#3f4147", "#80848e", "#dbdee1"
MARKED = "#f0b232"
QUALITY = 88


@dataclass(frozen=True)
class TreeNode:
    """A request in the drawing."""

    #: A small picture file; None where there is nothing to show.
    picture: bytes | None
    caption: str
    is_marked: bool
    #: Whether it is the one that the way leads to.
    is_goal: bool


def draw_family(nodes: Mapping[int, TreeNode], links: Sequence[tuple[int, int]]) -> bytes:
    """A WebP file of the nodes, by numbers that rise from parents to children, and the links between them.

    Its size is bounded by the number of nodes: 180 by 178 pixels for each at most.
    """
    places = place_nodes(nodes, links)
    columns, rows = (1 + max(place[axis] for place in places.values()) for axis in (0, 1))
    size = (2 * MARGIN + columns * (SIDE + GAP) - GAP, 2 * MARGIN + rows * (SIDE + CAPTION + MARGIN) - MARGIN)
    canvas = Image.new("RGB", size, BACKGROUND)
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(17)
    corners = {number: _corner(place) for number, place in places.items()}
    for parent, child in sorted(links, key=lambda link: nodes[link[0]].is_marked and nodes[link[1]].is_marked):
        _connect(draw, corners[parent], corners[child], is_marked=nodes[parent].is_marked and nodes[child].is_marked)
    for number, node in nodes.items():
        _put(canvas, draw, node, corners[number], font)
    return encode(canvas, "WEBP", quality=QUALITY)


def place_nodes(nodes: Mapping[int, TreeNode], links: Sequence[tuple[int, int]]) -> dict[int, tuple[int, int]]:
    """Column and row of each node: right of its parents, in the first free row from its parent's on."""
    parents = {number: [parent for parent, child in links if child == number] for number in nodes}
    columns: dict[int, int] = {}
    for number in sorted(nodes):
        columns[number] = 1 + max((columns[parent] for parent in parents[number]), default=-1)
    children = {number: [child for child in nodes if number in parents[child][:1]] for number in nodes}
    rows, free = dict[int, int](), dict[int, int]()

    def place(number: int, row: int) -> None:
        rows[number] = max(row, free.get(columns[number], 0))
        free[columns[number]] = rows[number] + 1
        for child in _marked_first(children[number], nodes):
            place(child, rows[number])

    for root in _marked_first([number for number in nodes if not parents[number]], nodes):
        place(root, 0)
    return {number: (columns[number], rows[number]) for number in nodes}


def _marked_first(numbers: Sequence[int], nodes: Mapping[int, TreeNode]) -> list[int]:
    return sorted(numbers, key=lambda number: (not nodes[number].is_marked, number))


def _corner(place: tuple[int, int]) -> tuple[int, int]:
    return MARGIN + place[0] * (SIDE + GAP), MARGIN + place[1] * (SIDE + CAPTION + MARGIN)


def _connect(draw: ImageDraw.ImageDraw, start: tuple[int, int], end: tuple[int, int], *, is_marked: bool) -> None:
    """A line that leaves to the right of one thumbnail and turns just before the other."""
    begin, goal, turn = (start[0] + SIDE, start[1] + SIDE // 2), (end[0], end[1] + SIDE // 2), end[0] - GAP // 2
    path = [begin, (turn, begin[1]), (turn, goal[1]), goal]
    draw.line(path, MARKED if is_marked else LINE, 5 if is_marked else 3, joint="curve")


def _put(
    canvas: Image.Image,
    draw: ImageDraw.ImageDraw,
    node: TreeNode,
    corner: tuple[int, int],
    font: ImageFont.ImageFont | ImageFont.FreeTypeFont,
) -> None:
    left, top = corner
    box = (left, top, left + SIDE - 1, top + SIDE - 1)
    draw.rectangle(box, EMPTY)
    if node.picture:
        small = Image.open(io.BytesIO(node.picture)).convert("RGB")
        small.thumbnail((SIDE, SIDE))
        canvas.paste(small, (left + (SIDE - small.width) // 2, top + (SIDE - small.height) // 2))
    if node.is_marked:
        draw.rectangle(box, None, MARKED, 7 if node.is_goal else 3)
    middle = (left + SIDE / 2, top + SIDE + CAPTION / 2)
    if node.is_goal:
        width = draw.textlength(node.caption, font)
        draw.rounded_rectangle(
            (middle[0] - width / 2 - 8, top + SIDE + 3, middle[0] + width / 2 + 8, top + SIDE + CAPTION - 1), 6, MARKED
        )
    draw.text(middle, node.caption, BACKGROUND if node.is_goal else MARKED if node.is_marked else WORDS, font, "mm")
