"""The pictures in docs/: the script that makes them runs, and what it makes is whole."""

from pathlib import Path

import pytest
from PIL import Image

from tests.docs_pictures import ROOT, SIZE, draw_demo, find_browser


def colours(file: Path) -> int:
    """How many different colours a picture has; a page without pictures has a few hundred."""
    with Image.open(file) as picture:
        assert picture.size == SIZE
        return len(picture.convert("RGB").getcolors(SIZE[0] * SIZE[1]) or ())


def test_the_page_in_the_readme_shows_pictures() -> None:
    assert colours(ROOT / "docs" / "demo.png") > 5000


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.skipif(find_browser() is None, reason="no Chromium on this machine")
async def test_the_page_is_drawn_anew_with_nothing_cut_off(tmp_path: Path) -> None:
    file = tmp_path / "demo.png"
    assert await draw_demo(file, tmp_path / "data") == []
    assert colours(file) > 5000
