"""TrustMark: its code, and the second mark that it writes and reads where the operator has placed its networks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import skimage
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from limner.bot.app import App, open_app
from limner.bot.cli.doctor.signing import trustmark
from limner.bot.provenance.trustmark import NoTrustMark, TrustMarkReader, TrustMarkWriter
from limner.bot.provenance.trustmark_code import BITS, DECODER, ENCODER, trustmark_bits, trustmark_number
from limner.bot.provenance.watermark import Watermark, read_key
from limner.bot.settings import Settings
from limner.bot.worker.finished_files import marked
from tests.tiny_trustmark import write_trustmark
from tests.watermark_attacks import psnr

NUMBERS = st.integers(-(2**63), 2**63 - 1)


@given(NUMBERS, st.sets(st.integers(0, BITS - 1), max_size=4))
def test_a_number_is_read_with_four_bits_wrong(number: int, wrong: set[int]) -> None:
    bits = trustmark_bits(number)
    assert trustmark_number([bit ^ (at in wrong) for at, bit in enumerate(bits)]) == number


@given(st.lists(st.integers(0, 1), min_size=BITS, max_size=BITS))
def test_a_number_that_is_read_is_at_most_four_bits_away(bits: list[int]) -> None:
    number = trustmark_number(bits)
    if number is not None:
        assert sum(a != b for a, b in zip(bits[:-4], trustmark_bits(number), strict=False)) <= 4


@pytest.mark.parametrize(
    ("number", "bits"),
    [
        (-1, f"{'1' * 64}{'0' * 9}100010010011101111101010010"),
        (0x0123456789ABCDEF, f"{0x0123456789ABCDEF:064b}000011000010010011111010011010100010"),
    ],
)
def test_the_bits_are_those_of_the_package_trustmark(number: int, bits: str) -> None:
    """Version 0.9.2, `DataLayer(100, False, 2).encode_binary` of 64 bits and four zeros."""
    assert "".join(map(str, trustmark_bits(number))) == bits


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_trustmark(tmp_path_factory.mktemp("trustmark"))


def photograph(size: tuple[int, int]) -> Image.Image:
    with Image.open(Path(str(skimage.__file__)).parent / "data" / "coffee.png") as image:
        return ImageOps.fit(image.convert("RGB"), size)


@pytest.mark.xdist_group("trustmark")
def test_a_number_is_written_into_a_picture_and_read_there(networks: Path) -> None:
    writer, reader = TrustMarkWriter(networks), TrustMarkReader(networks)
    for size in ((256, 256), (600, 400), (900, 300)):
        image = photograph(size)
        written = writer.marked(image, -5)
        assert (written.size, psnr(image, written) > 30) == (size, True)
        assert reader.read(image) != -5
        assert reader.read(written) == -5
        changed = (np.asarray(written) != np.asarray(image)).any(axis=(0, 2))
        assert changed[size[0] // 2]
        assert changed[10] == (size != (900, 300)), "of a slim picture the square in the middle is marked"


@pytest.mark.xdist_group("trustmark")
async def test_ours_is_written_on_top_and_alone_where_the_networks_are_missing_or_wrong(
    settings: Settings, app: App, networks: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ours, image = Watermark(read_key(app.settings.mark_key)), photograph((512, 512))
    vars(app.settings)["trustmark"] = str(networks)
    both, number = marked(app, image, None)
    assert number == ours.number_of(image)
    assert TrustMarkReader(networks).read(both) == number
    assert [mark.number for mark in ours.read(both)] == [number]

    (tmp_path / "wrong").mkdir()
    (tmp_path / "wrong" / ENCODER).write_bytes((networks / DECODER).read_bytes())
    (tmp_path / "wrong" / DECODER).write_bytes(b"hello")
    for folder, why in (
        (tmp_path / "none", f"There is no file {tmp_path / 'none' / ENCODER}"),
        (tmp_path / "wrong", ENCODER),
    ):
        vars(app.settings)["trustmark"] = str(folder)
        alone, number = marked(app, image, None)
        assert np.array_equal(np.asarray(alone), np.asarray(ours.marked(image, number or 0)))
        found = trustmark(folder)
        assert (found.status, why in found.what, "own invisible mark alone" in found.what) == ("fail", True, True)
    with pytest.raises(NoTrustMark, match="is no network that can be used"):
        TrustMarkReader(tmp_path / "wrong")
    assert caplog.text.count("trustmark_missing") == 2
    async with open_app(settings.using(trustmark=str(tmp_path / "none"))):
        assert caplog.text.count("trustmark_missing") == 3
    assert trustmark(networks).status == "ok"
    assert str(tmp_path) not in caplog.text
