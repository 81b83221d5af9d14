"""`limner` as its user types it: what it prints, where, and its exit code."""

import asyncio
import hashlib
import io
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from argparse import ArgumentParser
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from PIL import Image, ImageDraw

from limner.bot.__main__ import main
from limner.bot.cli import verbs
from limner.bot.cli.arguments import build_parser
from limner.bot.queue.faults import EXIT_SETUP
from limner.bot.settings import Settings
from tests.images_server import PaintingServer, open_painting_server, settings_of

pytestmark = pytest.mark.timeout(120)

KEYS = {"id", "status", "idea", "prompt", "seed", "model", "seconds", "notes", "images"}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("LIMNER_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("LIMNER_EXPANDER", "off")
    monkeypatch.setenv("LIMNER_DEVICE", "cpu")


@contextmanager
def started(data: Path, *arguments: str) -> Generator[subprocess.Popen[str]]:
    """A process that does not outlive its test; its worker stops when its stdin ends."""
    command = [sys.executable, "-m", "limner", "--data", str(data), *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def limner(data: Path, *arguments: str) -> tuple[int, str, str]:
    with started(data, *arguments) as process:
        out, err = process.communicate(timeout=100)
        return process.returncode, out, err


def limner_here(capsys: pytest.CaptureFixture[str], data: Path, *arguments: str) -> tuple[int, str, str]:
    """The same in this process: what starts no worker need not load all of Limner anew."""
    capsys.readouterr()
    code = main(["--data", str(data), *arguments])
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def rows(data: Path) -> list[dict[str, Any]]:
    """The jobs in a data folder; none while its database is being made."""
    if not (data / "limner.db").exists():
        return []
    with closing(sqlite3.connect(data / "limner.db")) as connection:
        connection.row_factory = sqlite3.Row
        if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'jobs'").fetchall():
            return []
        return [dict(row) for row in connection.execute("SELECT * FROM jobs ORDER BY id")]


def working_on(data: Path) -> list[psutil.Process]:
    """The processes of ours that work on this data folder."""
    return [child for child in psutil.Process().children(recursive=True) if _data_of(child) == str(data)]


def _data_of(process: psutil.Process) -> str | None:
    try:
        return process.environ().get("LIMNER_DATA")
    except psutil.Error:
        return None


def until(look: Callable[[], Any], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not look():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.05)


@contextmanager
def painting_server() -> Generator[PaintingServer]:
    """A server that paints, in a thread of its own, because a verb has the event loop of this one."""
    with ThreadPoolExecutor(1) as thread, asyncio.Runner() as runner:
        opened, over = Future[PaintingServer](), asyncio.Event()

        async def serve() -> None:
            async with open_painting_server() as server:
                opened.set_result(server)
                await over.wait()

        serving = thread.submit(runner.run, serve())
        try:
            yield opened.result(10)
        finally:
            runner.get_loop().call_soon_threadsafe(over.set)
            serving.result(10)


@pytest.mark.parametrize("paints_here", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_imagine_paints_and_history_remembers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], paints_here: bool
) -> None:
    """By a server, and by the shipped model on a machine where nothing was set up."""
    data, out = tmp_path / "data", tmp_path / "out"
    ask = ("imagine", "a red apple --seed 7", "--count", "2", "--json", "--out", str(out))
    if paints_here:
        code, printed, _ = limner(data, *ask)
    else:
        with painting_server() as server:
            for name, value in (settings_of(server) | {"models": "doodle=org/doodle@256x256"}).items():
                monkeypatch.setenv(f"LIMNER_{name.upper()}", value)
            code, printed, _ = limner_here(capfd, data, *ask)
    assert code == 0
    result = json.loads(printed)
    assert set(result) == KEYS
    told = {
        "id": 1,
        "status": "succeeded",
        "idea": "a red apple",
        "prompt": "a red apple",
        "seed": 7,
        "model": "doodle",
    }
    assert result | told == result
    assert result["seconds"] > 0
    assert [Path(image["path"]).name for image in result["images"]] == [
        "1-1-a-red-apple-7.png",
        "1-2-a-red-apple-8.png",
    ]
    for image in result["images"]:
        data_of_image = Path(image["path"]).read_bytes()
        assert hashlib.sha256(data_of_image).hexdigest() == image["sha256"]
        with Image.open(image["path"]) as picture:
            assert picture.size == (image["width"], image["height"]) == (256, 256)
    assert working_on(data) == []

    code, printed, _ = limner_here(capfd, data, "history", "--json", "--search", "apple")
    [remembered] = json.loads(printed)
    assert (code, set(remembered)) == (0, KEYS)
    assert {**remembered, "images": []} == {**result, "images": []}
    assert [image["sha256"] for image in remembered["images"]] == [image["sha256"] for image in result["images"]]
    code, printed, _ = limner_here(capfd, data, "history")
    assert code == 0
    assert "a red apple" in printed


@pytest.mark.slow
def test_imagine_shows_no_picture_that_is_too_explicit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIMNER_EXPLICIT_LIMIT", "0")
    data, out = tmp_path / "data", tmp_path / "out"
    code, printed, complaint = limner(data, "imagine", "a red apple", "--json", "--out", str(out))
    assert (code, json.loads(printed)["status"], json.loads(printed)["images"]) == (1, "refused", [])
    assert "too explicit" in complaint
    assert not out.exists()
    assert list(data.glob("images/*/*.png")) == []


@pytest.mark.slow
def test_imagine_shows_no_picture_that_nobody_could_look_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIMNER_SAFETY_CLASSIFIER", str(tmp_path))
    code, printed, complaint = limner(tmp_path / "data", "imagine", "a red apple", "--json")
    assert (code, json.loads(printed)["status"], json.loads(printed)["images"]) == (1, "succeeded", [])
    assert "the safety classifier could not run, so the pictures are not shown yet" in complaint
    assert "Future exception was never retrieved" not in complaint
    assert str(tmp_path) not in complaint.partition("limner: ")[0]  # a log has no paths
    assert json.loads(limner(tmp_path / "data", "history", "--json")[1])[0]["images"] == []


@pytest.mark.slow
def test_imagine_starts_from_a_picture_unless_its_like_is_blocked(tmp_path: Path) -> None:
    data, file = tmp_path / "data", tmp_path / "sun.jpg"
    picture = Image.new("RGB", (256, 256), "skyblue")
    ImageDraw.Draw(picture).ellipse((30, 20, 150, 140), fill="orange")
    ImageDraw.Draw(picture).rectangle((0, 190, 256, 256), fill="green")
    picture.save(file)
    ask = ("imagine", "a red apple --seed 7", "--image", str(file), "--strength", "0.5", "--json")
    code, printed, _ = limner(data, *ask)
    assert (code, len(json.loads(printed)["images"])) == (0, 1)
    picture.resize((100, 100)).save(tmp_path / "small.png")
    [blocked] = json.loads(limner(data, "block", str(tmp_path / "small.png"), "--json")[1])
    code, printed, complaint = limner(data, *ask)
    assert (code, json.loads(printed)["status"]) == (1, "refused")
    assert "looks like one that is blocked" in complaint
    assert limner(data, "block", "--allow", str(blocked["id"]))[1].strip() == "No picture is blocked."
    assert "cannot be read" in limner(data, "block", "nowhere.png")[2]


@pytest.mark.slow
def test_imagine_that_fails_says_why_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIMNER_MODELS", "gone=nobody/nothing@64x64")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("LIMNER_LOG_LEVEL", "ERROR")
    code, printed, complaint = limner(tmp_path / "data", "imagine", "a red apple", "--json")
    assert code == 1
    assert json.loads(printed)["status"] == "failed"
    assert complaint.strip().splitlines()[-1].startswith("limner: ")
    assert "Traceback" not in complaint


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends Ctrl-C to a whole console")
def test_ctrl_c_cancels_the_job_and_leaves_no_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIMNER_MAX_STEPS", "100000")
    data = tmp_path / "data"
    with started(data, "imagine", "a red apple", "--steps", "100000", "--json") as process:
        until(lambda: any(row["step"] > 0 for row in rows(data)))
        assert working_on(data)
        process.send_signal(signal.SIGINT)
        printed, complaint = process.communicate(timeout=30)
    assert (process.returncode, printed) == (130, "")
    assert "Traceback" not in complaint
    [row] = rows(data)
    assert (row["status"], row["reason"]) == ("cancelled", "It was stopped from the command line.")
    assert working_on(data) == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["imagine", ""], "prompt"),
        (["imagine", "a" * 10_000], "1500"),
        (["imagine", "a cat", "--seed", str(2**64)], "seed"),
        (["imagine", "a cat", "--size", "1x100000"], "size"),
        (["imagine", "a cat", "--model", "nosuch"], "doodle"),
        (["imagine", "a cat", "--style", "nosuch"], "style"),
        (["imagine", "a cat", "--count", "99"], "pictures"),
        (["run"], "token"),
        (["bench", "nosuch"], "acknowledgement"),
        (["filter", "check", "--input", "/no/such/file"], "/no/such/file"),
        (["filter", "check", "--rules", "/no/such/rules"], "rules"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(
    settings: Settings, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    assert main(["--data", str(settings.data), *arguments]) == (EXIT_SETUP if arguments == ["run"] else 2)
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("limner: ")
    assert said.err.count("\n") == 1
    assert words in said.err
    assert rows(settings.data) == []


def every_verb(
    parser: ArgumentParser, capsys: pytest.CaptureFixture[str], *above: str
) -> Iterator[tuple[tuple[str, ...], str]]:
    """Each verb that has no verbs or kinds below it, and its help."""
    with pytest.raises(SystemExit):
        parser.parse_args([*above, "--help"])
    said = capsys.readouterr().out
    is_parent = not above or above[-1] in ("filter", "train")
    if not is_parent:
        yield above, said
    for name in re.findall(r"^    ([a-z]+)(?: |$)", said, re.MULTILINE) if is_parent else ():
        yield from every_verb(parser, capsys, *above, name)


def test_every_verb_takes_the_data_folder_behind_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = dict(every_verb(build_parser(), capsys))
    assert {("imagine",), ("filter", "check"), ("train", "lora"), ("evaluate",), ("doctor",)} < {*found}
    assert [verbs for verbs, said in found.items() if "--data DIR" not in said] == []
    assert main(["migrate", "--data", str(tmp_path / "behind")]) == 0
    assert main(["--data", str(tmp_path / "before"), "migrate"]) == 0
    assert (tmp_path / "behind" / "limner.db").exists()
    assert (tmp_path / "before" / "limner.db").exists()


@pytest.mark.parametrize(
    ("typed", "meant"), [(["imagin", "a cat"], "imagine"), (["train", "lorra"], "lora"), (["filter", "chek"], "check")]
)
def test_a_mistyped_verb_is_answered_with_the_nearest(
    capsys: pytest.CaptureFixture[str], typed: list[str], meant: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(typed)
    assert ended.value.code == 2
    assert f"did you mean {meant}?" in capsys.readouterr().err


def test_a_database_is_made_by_migrate_and_asked_for_by_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for verb in (["history"], ["filter", "check"]):
        assert main(["--data", str(tmp_path), *verb]) == (EXIT_SETUP if verb == ["run"] else 2)
        assert "limner migrate" in capsys.readouterr().err
    for _ in range(2):
        assert main(["--data", str(tmp_path), "migrate"]) == 0
    assert main(["--data", str(tmp_path), "history", "--json"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "[]"


def test_a_corrupt_settings_file_stops_every_verb(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "limner.toml").write_text("this is not toml")
    for verb in (["run"], ["demo"], ["imagine", "a cat"], ["history"], ["migrate"]):
        assert main(["--data", str(tmp_path), *verb]) == (EXIT_SETUP if verb == ["run"] else 2)
        assert "limner.toml" in capsys.readouterr().err


def test_filter_check_reads_and_writes_lines(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "rules.json").write_text('["apple"]')
    (tmp_path / "texts.jsonl").write_text('{"id": "a", "text": "an APPLE"}\n{"id": "b", "text": "a pear"}\n')
    files = ["--rules", str(tmp_path / "rules.json"), "--input", str(tmp_path / "texts.jsonl")]
    assert main(["--data", str(settings.data), "filter", "check", *files]) == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(answer["id"], answer["action"]) for answer in answers] == [("a", "block"), ("b", "allow")]


def test_words_go_in_and_out_as_utf8_whatever_the_code_page_is(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "cp1252")  # Windows gives a redirected stream that of its language
    (tmp_path / "rules.json").write_text('{"rules": ["вомбат", "größe"]}', encoding="utf-8")
    assert main(["--data", str(settings.data), "filter", "import", str(tmp_path / "rules.json")]) == 0
    texts = "".join(json.dumps({"id": text, "text": text}, ensure_ascii=False) + "\n" for text in ("вомбат", "größe"))
    code, printed, _ = said(settings.data, "filter", "check", given=texts.encode())
    answers = [json.loads(line) for line in printed.splitlines()]
    assert (code, [(answer["id"], answer["action"]) for answer in answers]) == (
        0,
        [("вомбат", "block"), ("größe", "block")],
    )


@pytest.mark.slow
def test_rules_go_out_as_utf8_whatever_the_code_page_is(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "cp1252")
    (tmp_path / "rules.json").write_text('{"rules": ["вомбат", "größe"]}', encoding="utf-8")
    assert main(["--data", str(settings.data), "filter", "import", str(tmp_path / "rules.json")]) == 0
    code, printed, _ = said(settings.data, "filter", "export")
    assert (code, [rule["pattern"] for rule in json.loads(printed)["rules"]]) == (0, ["вомбат", "größe"])


def said(data: Path, *arguments: str, given: bytes = b"") -> tuple[int, str, str]:
    """What a process with redirected streams says, read as UTF-8."""
    command = [sys.executable, "-m", "limner", "--data", str(data), *arguments]
    done = subprocess.run(command, input=given, capture_output=True, check=False)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


@pytest.mark.parametrize("how", ["stdin", "file"])
def test_texts_in_another_encoding_are_never_allowed(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], how: str
) -> None:
    (tmp_path / "rules.json").write_text('["größe"]', encoding="utf-8")
    lines = b'{"id": 1, "text": "gr\xf6\xdfe"}\r\n' + '{"id": 2, "text": "größe"}\r\n'.encode()
    given = []
    if how == "stdin":
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(lines), encoding="cp1252"))
    else:
        (tmp_path / "texts.jsonl").write_bytes(lines)
        given = ["--input", str(tmp_path / "texts.jsonl")]
    check = ["--data", str(settings.data), "filter", "check", "--rules", str(tmp_path / "rules.json"), *given]
    assert main(check) == 1
    first, second = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (first["action"], second["action"]) == ("error", "block")
    assert first["reason"].endswith("is not UTF-8 text.")


def test_the_operators_rules_come_in_and_go_out(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = ["--data", str(settings.data), "filter"]
    (tmp_path / "rules.json").write_text('{"rules": ["apple", "a*b", {"pattern": "p+ear", "kind": "regex"}]}')
    assert main([*data, "import", str(tmp_path / "rules.json")]) == 1
    said = capsys.readouterr()
    assert said.out == ("Nothing is added. Change the lines named above, or add the other 2 rules with --anyway.\n")
    assert said.err.startswith("limner: rules.json, 2: A rule may have a *")
    assert main([*data, "import", str(tmp_path / "rules.json"), "--anyway"]) == 1
    assert capsys.readouterr().out == "2 added, 0 there already, 1 not added.\n"
    assert main([*data, "export"]) == 0
    exported = capsys.readouterr().out
    assert json.loads(exported)["rules"] == [{"pattern": "apple"}, {"pattern": "p+ear", "kind": "regex"}]
    (tmp_path / "exported.json").write_text(exported)
    assert main([*data, "import", str(tmp_path / "exported.json")]) == 0
    assert capsys.readouterr().out == "0 added, 2 there already, 0 not added.\n"
    (tmp_path / "words.csv").write_bytes("term;severity\r\npâté;3\r\n".encode("utf-16"))
    assert main([*data, "import", str(tmp_path / "words.csv"), "--anyway"]) == 0
    said = capsys.readouterr()
    assert said.out == "1 added, 0 there already, 0 not added.\n"
    assert said.err.startswith("limner: words.csv, 1: These columns mean nothing here and are left out: severity.")
    (tmp_path / "texts.jsonl").write_text('{"id": "a", "text": "an APPLE"}\n')
    assert main([*data, "check", "--input", str(tmp_path / "texts.jsonl")]) == 0
    assert json.loads(capsys.readouterr().out)["action"] == "block"


def test_pictures_are_made_fit_to_learn_from(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "raw").mkdir()
    for number, shape in enumerate(((4, 4, 20, 28), (12, 2, 16, 30))):
        image = Image.new("RGB", (32, 32))
        ImageDraw.Draw(image).rectangle(shape, fill="white")
        image.save(tmp_path / "raw" / f"{number}.png")
    train = ["--data", str(tmp_path / "data"), "train", "data", str(tmp_path / "raw")]
    assert main([*train, "--side", "16", "--no-captions"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("2 pictures")
    assert said[1] == f"It is in {tmp_path / 'raw-ready'}; look at contacts.png."
    assert main(train) == 2
    assert capsys.readouterr().err.startswith(f"limner: {tmp_path / 'raw'} has no captions: write a metadata.jsonl")


def test_benchmarks_need_a_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(verbs, "ROOT", tmp_path)
    assert main(["bench", "latency"]) == 2
    assert "checkout" in capsys.readouterr().err


@pytest.mark.parametrize(
    "verb", ["demo", "run", "worker", "imagine", "history", "filter", "migrate", "doctor", "train", "bench"]
)
def test_every_verb_explains_itself(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        build_parser().parse_args([verb, "--help"])
    assert ended.value.code == 0
    assert f"limner {verb}" in capsys.readouterr().out
