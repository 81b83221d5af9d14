# pyright: basic, reportOptionalSubscript=false, reportIndexIssue=false
import gzip
import json
import struct
import zlib
from pathlib import Path
from random import Random

import numpy as np
import pytest
from PIL import Image

from limner.generators.training.data.augment import augment, mirror
from limner.generators.training.data.collect import Broken, Raw, collect, open_picture
from limner.generators.training.data.picture_folder import PictureFolder
from limner.generators.training.errors import TrainingError


def picture(seed: int, size: tuple[int, int] = (40, 30)) -> Image.Image:
    """Coarse noise: no two are alike, and a smaller copy still looks the same."""
    noise = np.random.default_rng(seed).integers(0, 255, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC)


def write(folder: Path, **captions: str) -> None:
    lines = [json.dumps({"file_name": name.replace("_", "."), "text": text}) for name, text in captions.items()]
    (folder / "metadata.jsonl").write_text("\n".join(lines))


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    folder = tmp_path / "raw"
    folder.mkdir()
    for number in range(6):
        picture(number).save(folder / f"{number}.png")
    return folder


def test_a_folder_is_collected_split_and_shown(raw: Path, tmp_path: Path):
    write(raw, **{f"{number}_png": f"picture {number}" for number in range(6)})
    report = collect(raw, tmp_path / "out", side=32, variants=2, test=0.4, seed=1)

    assert (report.kept, report.train + report.test, report.dropped) == (6, 6, {})
    learnt, tested = PictureFolder(tmp_path / "out" / "train"), PictureFolder(tmp_path / "out" / "test")
    assert (len(learnt), len(tested)) == (3 * report.train, report.test)
    assert learnt.pixels([0, 1]).shape == (2, 3, 32, 32)
    assert json.loads((tmp_path / "out" / "report.json").read_text())["kept"] == 6
    with Image.open(tmp_path / "out" / "contacts.png") as sheet:
        assert sheet.width > 6 * 32
    again = collect(raw, tmp_path / "again", side=32, variants=2, test=0.4, seed=1)
    assert (again.train, again.test) == (report.train, report.test)


def test_what_is_broken_is_left_out_and_told(raw: Path, tmp_path: Path):
    picture(0, (200, 150)).save(raw / "twin.jpg")
    picture(8).save(raw / "moving.gif", save_all=True, append_images=[picture(2), picture(3)])
    (raw / "cut.png").write_bytes((raw / "4.png").read_bytes()[:200])
    (raw / "words.png").write_text("not a picture")
    write(raw, **{f"{number}_png": "a thing" for number in range(4)}, **{"4_png": " "}, twin_jpg="the first again",
          moving_gif="it moves", cut_png="cut off", words_png="words", gone_png="nothing there")  # fmt: skip
    report = collect(raw, tmp_path / "out", side=32)

    assert report.kept == 5  # of moving.gif the first frame
    assert report.dropped == {
        "without a caption": ["4.png"],
        "nearly the same as another": ["twin.jpg"],
        "not a readable picture": ["cut.png", "words.png"],
        "the file is missing": ["gone.png"],
    }
    assert "1 left out: the file is missing (gone.png)." in str(report)


def test_other_kinds_of_pictures_become_rgb(tmp_path: Path):
    picture(1).convert("CMYK").save(tmp_path / "cmyk.jpg")
    Image.fromarray(np.full((8, 8), 65535 // 2, np.uint16)).save(tmp_path / "deep.png")
    Image.new("RGBA", (8, 8), (255, 0, 0, 0)).save(tmp_path / "clear.png")
    opened = {
        name: open_picture(Raw(name, ("a thing",), tmp_path / name)) for name in ("cmyk.jpg", "deep.png", "clear.png")
    }
    assert {image.mode for image in opened.values()} == {"RGB"}
    assert opened["deep.png"].getpixel((0, 0)) == (127, 127, 127)
    assert opened["clear.png"].getpixel((0, 0)) == (255, 255, 255)


def test_a_small_file_that_claims_to_be_huge_is_not_decoded(tmp_path: Path):
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)
    file = tmp_path / "huge.png"
    file.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", b"") + chunk(b"IEND", b""))
    with pytest.raises(Broken, match="too many pixels"):
        open_picture(Raw("huge.png", ("huge",), file))


def test_mnist_files_are_read(tmp_path: Path):
    folder = tmp_path / "mnist"
    folder.mkdir()
    pixels = np.stack([np.asarray(picture(number, (28, 28)).convert("L")) for number in range(3)])
    (folder / "train-images-idx3-ubyte").write_bytes(struct.pack(">4I", 0x803, 3, 28, 28) + pixels.tobytes())
    with gzip.open(folder / "train-labels-idx1-ubyte.gz", "wb") as labels:
        labels.write(struct.pack(">2I", 0x801, 3) + bytes([7, 0, 9]))
    (folder / "train-images-idx3-ubyte").rename(folder / "train-images-idx3-ubyte.raw")
    with gzip.open(folder / "train-images-idx3-ubyte.gz", "wb") as images:
        images.write((folder / "train-images-idx3-ubyte.raw").read_bytes())
    (folder / "train-images-idx3-ubyte.raw").unlink()

    assert collect(folder, tmp_path / "out", side=28, test=0.0).kept == 3
    texts = [each.text for each in PictureFolder(tmp_path / "out" / "train").pictures]
    assert texts == ["the digit 7", "the digit 0", "the digit 9"]


@pytest.mark.parametrize(
    ("metadata", "sentence"),
    [
        (None, "has no captions"),
        ("{broken", r"is not valid JSON \(line 1, column 2: "),
        ('{"file_name": "0.png"}', "Line 1 of"),
        ('{"file_name": "0.png", "text": "one"}', r"fewer than two usable pictures \(there are no more\)"),
        ("", r"fewer than two usable pictures"),
    ],
)
def test_a_folder_that_cannot_be_used_is_told_in_a_sentence(
    raw: Path, tmp_path: Path, metadata: str | None, sentence: str
):
    if metadata is not None:
        (raw / "metadata.jsonl").write_text(metadata)
    with pytest.raises(TrainingError, match=sentence):
        collect(raw, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_that_exists_is_not_written_over(raw: Path, tmp_path: Path):
    write(raw, **{"0_png": "one", "1_png": "two"})
    (tmp_path / "out").mkdir()
    with pytest.raises(TrainingError, match="exists already"):
        collect(raw, tmp_path / "out")


def test_captions_follow_the_mirror():
    assert mirror("a cat left of a dog, Right below") == "a cat right of a dog, left below"
    white = Image.new("RGB", (20, 10), "white")
    white.paste((255, 0, 0), (0, 0, 6, 10))
    variants = [augment(white, "red on the left", Random(number)) for number in range(12)]
    for image, text in variants:
        side = "left" if image.getpixel((1, 5))[1] < 128 else "right"
        assert text == f"red on the {side}"
    assert len({text for _, text in variants}) == 2
    assert all(augment(white, 'a sign that says "left"', Random(n))[1] == 'a sign that says "left"' for n in range(9))
