"""Networks with TrustMark's inputs and outputs, as ONNX files: they add and find patterns, and have learnt nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from limner.bot.provenance.trustmark_code import BITS, DECODER, ENCODER

Array = NDArray[np.float32] | NDArray[np.int64]
Values = dict[str, Array]

SIDE, TILE, STRENGTH = 256, 32, 0.004
FLOAT, WHOLE = 1, 7
LOW = 6
"""Frequencies of a tile, down and across, that a picture fills itself."""


def write_trustmark(folder: Path) -> Path:
    """Write both networks: the first adds a tile for each bit, the second compares the mean tile with each."""
    folder.mkdir(parents=True, exist_ok=True)
    tiles = _tiles()
    cover, secret, logits = ("onnx::Concat_0", [1, 3, SIDE, SIDE]), ("onnx::Gemm_1", [1, BITS]), ("output", [1, BITS])
    encoder = [
        _node("Mul", [secret[0], "two"], "doubled"),
        _node("Sub", ["doubled", "one"], "signs"),
        _node("MatMul", ["signs", "tiles"], "tile"),
        _node("Reshape", ["tile", "shape"], "square"),
        _node("Tile", ["square", "repeats"], "added"),
        _node("Add", [cover[0], "added"], "image"),
    ]
    values: Values = {
        "two": np.array([2], np.float32),
        "one": np.array([1], np.float32),
        "tiles": STRENGTH * tiles,
        "shape": np.array([1, 3, TILE, TILE], np.int64),
        "repeats": np.array([1, 1, SIDE // TILE, SIDE // TILE], np.int64),
    }
    (folder / ENCODER).write_bytes(_model(encoder, values, [cover, secret], ("image", cover[1])))
    decoder = [
        _node("Reshape", ["image", "parted"], "parts"),
        _node("ReduceMean", ["parts"], "mean", axes=[2, 4], keepdims=[0]),
        _node("Reshape", ["mean", "flat"], "row"),
        _node("MatMul", ["row", "tiles"], "output"),
    ]
    values = {
        "parted": np.array([1, 3, SIDE // TILE, TILE, SIDE // TILE, TILE], np.int64),
        "flat": np.array([1, 3 * TILE * TILE], np.int64),
        "tiles": np.ascontiguousarray(tiles.T),
    }
    (folder / DECODER).write_bytes(_model(decoder, values, [("image", cover[1])], logits))
    return folder


def _tiles() -> NDArray[np.float32]:
    """A tile of each bit at right angles to the others and to slow waves, its values 1 on average."""
    random, place = np.random.default_rng(0), np.arange(TILE)
    slow = [np.cos(2 * np.pi * wave * place / TILE + turn) for wave in range(LOW) for turn in (0, np.pi / 2)]
    waves = [np.outer(a, b).ravel() for a in slow for b in slow]
    known = [np.concatenate([wave * (channel == at) for at in range(3)]) for wave in waves for channel in range(3)]
    basis, _rest = np.linalg.qr(np.stack([*known, *random.standard_normal((BITS, 3 * TILE * TILE))], 1))
    return (basis[:, -BITS:].T * np.sqrt(3) * TILE).astype(np.float32)


# ONNX's protocol buffers (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto), as far as they are needed.


def _number(value: int) -> bytes:
    groups = [value >> shift & 127 for shift in range(0, max(1, value.bit_length()), 7)]
    return bytes([*(group | 128 for group in groups[:-1]), groups[-1]])


def _field(number: int, value: int | bytes | str) -> bytes:
    if isinstance(value, int):
        return _number(number << 3) + _number(value)
    data = value.encode() if isinstance(value, str) else value
    return _number(number << 3 | 2) + _number(len(data)) + data


def _node(operation: str, inputs: list[str], output: str, **attributes: list[int]) -> bytes:
    found = b"".join(_field(1, name) for name in inputs) + _field(2, output) + _field(4, operation)
    for name, whole in attributes.items():
        is_one = name == "keepdims"
        values = b"".join(_field(3 if is_one else 8, one) for one in whole)
        found += _field(5, _field(1, name) + values + _field(20, 2 if is_one else 7))
    return found


def _tensor(name: str, values: Array) -> bytes:
    kind = WHOLE if values.dtype == np.int64 else FLOAT
    return b"".join(_field(1, size) for size in values.shape) + (
        _field(2, kind) + _field(8, name) + _field(9, values.tobytes())
    )


def _described(name: str, shape: list[int]) -> bytes:
    sizes = b"".join(_field(1, _field(1, size)) for size in shape)
    return _field(1, name) + _field(2, _field(1, _field(1, FLOAT) + _field(2, sizes)))


def _model(
    nodes: list[bytes],
    values: Values,
    inputs: list[tuple[str, list[int]]],
    output: tuple[str, list[int]],
) -> bytes:
    graph = b"".join(_field(1, node) for node in nodes) + _field(2, "tiny")
    graph += b"".join(_field(5, _tensor(name, value)) for name, value in values.items())
    graph += b"".join(_field(11, _described(*one)) for one in inputs) + _field(12, _described(*output))
    return _field(1, 8) + _field(7, graph) + _field(8, _field(2, 17))
