"""What folders say of their pictures, in the forms that people's other programs write; what is refused, and where."""

# pyright: basic

import csv
import io
import json
import os
import tempfile
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from limner.generators.training.data.captions import read_folder
from limner.generators.training.data.collect import collect
from limner.generators.training.data.picture_folder import PictureFolder
from limner.generators.training.errors import TrainingError

NAMES = ("p0.png", "sub/p1.PNG", "größe.png", "p3.png")


def picture(seed: int) -> Image.Image:
    noise = np.random.default_rng(seed).integers(0, 255, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((24, 24), Image.Resampling.BICUBIC)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return filled(tmp_path / "raw")


def filled(folder: Path) -> Path:
    for number, name in enumerate(NAMES):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        picture(number).save(folder / name)
    return folder


def lines(captions: dict[str, object]) -> str:
    told = [{"file_name": name, "text": text} for name, text in captions.items()]
    return "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in told)


def table(captions: dict[str, object], delimiter: str = ",") -> str:
    file = io.StringIO(newline="")
    writer = csv.writer(file, delimiter=delimiter)
    writer.writerows([("file_name", "text"), *captions.items()])
    return file.getvalue()


def read(folder: Path) -> dict[str, tuple[str, ...]]:
    return {entry.name: entry.captions for entry in read_folder(folder) or ()}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_lines_are_read_in_every_encoding_that_says_which_it_is(folder: Path, encoding: str):
    captions: dict[str, object] = {"p0.png": "ein Kätzchen", "p3.png": "a cat\u2028sitting"}
    (folder / "metadata.jsonl").write_bytes(lines(captions).encode(encoding))
    assert read(folder) == {"p0.png": ("ein Kätzchen",), "p3.png": ("a cat sitting",)}


def test_a_picture_has_no_caption_or_several(folder: Path):
    captions: dict[str, object] = {"p0.png": None, "p3.png": ["a cat", None, "a grey cat"], "größe.png": ["", " "]}
    (folder / "metadata.jsonl").write_text(lines(captions), encoding="utf-8")
    assert read(folder) == {"p0.png": (), "p3.png": ("a cat", "a grey cat"), "größe.png": ()}


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_table_is_read_as_excel_writes_it(folder: Path, delimiter: str):
    captions: dict[str, object] = {"p0.png": 'a "big", grey; cat', "p3.png": "two\nlines", "größe.png": ""}
    (folder / "metadata.csv").write_bytes(table(captions, delimiter).encode("utf-8-sig"))
    assert read(folder) == {"p0.png": ('a "big", grey; cat',), "p3.png": ("two lines",), "größe.png": ()}


def test_texts_beside_pictures_are_read(folder: Path):
    (folder / "p0.txt").write_bytes("\ufeffein Kätzchen\r\n".encode())
    (folder / "sub" / "p1.caption").write_text("a dog\n\nof two captions\n", encoding="utf-8")
    captions = {name.replace(os.sep, "/"): texts for name, texts in read(folder).items()}
    assert captions == {
        "p0.png": ("ein Kätzchen",),
        "sub/p1.PNG": ("a dog", "of two captions"),
        "größe.png": (),
        "p3.png": (),
    }


def test_a_table_of_parquet_is_read_or_its_reader_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow.parquet", None)
    (folder / "metadata.parquet").write_bytes(b"PAR1")
    with pytest.raises(
        TrainingError, match=r"metadata\.parquet cannot be read without pyarrow; pip install pyarrow, or"
    ):
        read(folder)


def test_a_table_of_parquet_is_read_where_its_reader_is_installed(folder: Path):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    captions = {"file_name": ["p0.png", "p3.png"], "text": ["a cat", None]}
    parquet.write_table(pyarrow.table(captions), folder / "metadata.parquet")
    assert read(folder) == {"p0.png": ("a cat",), "p3.png": ()}
    (folder / "metadata.parquet").write_bytes(b"PAR1")
    with pytest.raises(TrainingError, match="is not a Parquet file with the columns file_name and text"):
        read(folder)


@pytest.mark.parametrize(
    "name", ["P0.PNG", "./p0.png", "sub\\P1.png", "SUB/p1.png", unicodedata.normalize("NFD", "größe.png")]
)
def test_names_of_other_systems_are_found(folder: Path, name: str):
    (folder / "metadata.jsonl").write_text(lines({name: "it"}), encoding="utf-8")
    [entry] = read_folder(folder) or []
    assert entry.file
    assert entry.file.is_file()
    assert PictureFolder(folder).pictures[0].file == entry.file


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("../secret.png", "which leads out of the folder"),
        ("sub/../../secret.png", "which leads out of the folder"),
        ("..\\secret.png", "which leads out of the folder"),
        ("/etc/hostname", "which leads out of the folder"),
        ("C:\\secret.png", "which leads out of the folder"),
        ("C:secret.png", "which leads out of the folder"),
        ("\\\\host\\share\\secret.png", "which leads out of the folder"),
        ("a\0b.png", "which leads out of the folder"),
        ("link.png", "but it leads out of the folder"),
        ("linked/secret.png", "but it leads out of the folder"),
        ("pipe.png", "but it is no plain file"),
        ("sub", "but it is no plain file"),
        ("device.png", "but it leads out of the folder"),
        ("DOUBLE.png", "several files are called so"),
    ],
)
@pytest.mark.skipif(os.name == "nt", reason="needs links and pipes")
def test_a_name_that_leads_elsewhere_is_refused_with_its_line(folder: Path, name: str, sentence: str):
    elsewhere = folder.parent / "elsewhere"
    elsewhere.mkdir()
    picture(9).save(elsewhere / "secret.png")
    (folder / "link.png").symlink_to(elsewhere / "secret.png")
    (folder / "linked").symlink_to(elsewhere)
    (folder / "device.png").symlink_to("/dev/zero")
    os.mkfifo(folder / "pipe.png")
    picture(8).save(folder / "double.png")
    picture(9).save(folder / "Double.png")
    (folder / "metadata.jsonl").write_text(lines({"p0.png": "fine", name: "not so"}), encoding="utf-8")
    for reads in (lambda: collect(folder, folder.parent / "out"), lambda: PictureFolder(folder)):
        with pytest.raises(TrainingError, match=sentence) as told:
            reads()
        assert str(told.value).startswith(f"Line 2 of the file {folder / 'metadata.jsonl'} names {name!r}, ")
    assert not (folder.parent / "out").exists()


@pytest.mark.skipif(os.name == "nt", reason="needs links and pipes")
def test_without_captions_what_leads_elsewhere_is_left_out_and_told(folder: Path):
    (folder / "device.png").symlink_to("/dev/zero")
    (folder / "own.png").symlink_to(folder / "p0.png")
    os.mkfifo(folder / "pipe.png")
    report = collect(folder, folder.parent / "out", captioned=False, side=16)
    assert report.kept == 4
    assert report.dropped == {
        "it leads out of the folder": ["device.png"],
        "nearly the same as another": ["p0.png"],
        "it is no plain file": ["pipe.png"],
    }


@pytest.mark.parametrize(
    ("file", "content", "sentence"),
    [
        (
            "metadata.jsonl",
            '{"file_name":"p0.png","text":"ein Kätzchen"}'.encode("latin-1"),
            r"is not UTF-8 text \(line 1\)",
        ),
        (
            "metadata.jsonl",
            b'\n{"file_name":"p0.png","text":3}',
            "Line 2 of .*metadata.jsonl has a text that is neither",
        ),
        ("metadata.jsonl", b'{"file_name":["p0.png"],"text":"a"}', "Line 1 of .*metadata.jsonl is not"),
        ("metadata.jsonl", b'["p0.png"]', "Line 1 of .*metadata.jsonl is not"),
        ("metadata.jsonl", b'{"file_name":"p0.png","text":"\\ud800"}', "half of a surrogate pair in line 1"),
        ("metadata.csv", b"file_name,caption\np0.png,a cat", "has no column text"),
        ("metadata.csv", b"file_name,text\np0.png,a cat, sitting", "Line 2 of .*metadata.csv has too many cells"),
        ("metadata.csv", b'file_name,text\np0.png,"a" cat', "Line 2 of .*metadata.csv is not a line of a table"),
        ("p0.txt", "ein Kätzchen".encode("latin-1"), r"p0.txt is not UTF-8 text \(line 1\)"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_file_and_line(folder: Path, file: str, content: bytes, sentence: str):
    (folder / file).write_bytes(content)
    with pytest.raises(TrainingError, match=sentence):
        collect(folder, folder.parent / "out")
    assert not (folder.parent / "out").exists()


ODD = ["a cat\u2028left", "\x85", "\x1c", "a\r\nb", "\ufeff", "  ", "猫\u200d", "\0"]
WORDS = st.text(max_size=30) | st.sampled_from(ODD)
CAPTIONS = st.lists(WORDS | st.none() | st.lists(WORDS | st.none(), max_size=3), min_size=4, max_size=4)
ENCODINGS = st.sampled_from(["utf-8", "utf-8-sig", "utf-16"])


@settings(max_examples=25)
@given(captions=CAPTIONS, form=st.sampled_from(["jsonl", "csv", "txt"]), encoding=ENCODINGS, copies=st.integers(0, 1))
def test_whatever_train_data_writes_its_own_trainer_reads(
    captions: list[object], form: str, encoding: str, copies: int
):
    with tempfile.TemporaryDirectory() as place:
        folder, out = filled(Path(place) / "raw"), Path(place) / "out"
        told: dict[str, object] = dict(zip(NAMES, captions, strict=True))
        single = {name: text.replace("\0", "") if isinstance(text, str) else "" for name, text in told.items()}
        if form == "txt":
            for name, text in single.items():
                (folder / name).with_suffix(".txt").write_text(text, encoding=encoding, newline="")
        else:
            content = lines(told) if form == "jsonl" else table({**single})
            (folder / f"metadata.{form}").write_bytes(content.encode(encoding))
        known = {text for texts in read(folder).values() for text in texts}
        if sum(map(bool, read(folder).values())) < 2:
            with pytest.raises(TrainingError, match=r"fewer than two usable pictures|has no captions"):
                collect(folder, out)
            return
        report = collect(folder, out, side=16, variants=copies, test=0.3)
        pictures = PictureFolder(out)
        assert len(pictures) == report.kept + copies * report.train
        assert pictures.pixels(range(len(pictures))).shape[1:] == (3, 16, 16)
        assert copies or {one.text for one in pictures.pictures} <= known
        assert all(one.text for one in pictures.pictures)
