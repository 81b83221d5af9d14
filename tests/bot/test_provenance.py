"""Signed pictures: what a picture's file says of itself, as other programs read it, wherever it comes out."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import c2pa
import encypher_c2pa
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from PIL import Image

from limner.bot import file_actions, submit
from limner.bot.app import App, open_app
from limner.bot.cli.certify import certify
from limner.bot.cli.doctor.signing import certificate
from limner.bot.errors import SetupError
from limner.bot.options.picture_files import read_parameters
from limner.bot.provenance.certificates import make_certificate
from limner.bot.provenance.manifest import MIME_TYPES, Statement, read_store, signed
from limner.bot.provenance.source import DigitalSource, source_in
from limner.bot.provenance.time_stamps import TimeStampAuthority
from limner.bot.reasons import JobStatus
from limner.bot.settings import Settings
from limner.bot.storage.cipher import Cipher
from limner.bot.storage.pictures.decoder import PictureDecoder
from limner.bot.storage.pictures.image_files import encode_png
from limner.bot.storage.pictures.image_store import ImageStore
from limner.bot.storage.tables.models import Job
from limner.bot.worker.finished_files import finished_file
from limner.generators.animation import Animation
from limner.generators.references import Reference, Role
from tests.bot.test_worker import AddingExpander, ask, make_worker, settings, tiny
from tests.rows import asked
from tests.time_stamp_server import MUCH, Authority, served

__all__ = ["settings", "tiny"]

READ = """
import io, json, sys
from c2pa import Reader
found = []
for file in sys.argv[1:]:
    kind = "image/" + file.rpartition(".")[2].replace("jpg", "jpeg")
    with open(file, "rb") as opened:
        reader = Reader.try_create(kind, io.BytesIO(opened.read()))
    found.append(None if reader is None else json.loads(reader.json()) | {"state": reader.get_validation_state()})
print(json.dumps(found))
"""


def read(*files: Path) -> list[dict[str, Any] | None]:
    """The manifest stores as C2PA's own library reads them in a process that has nothing of ours."""
    command = [sys.executable, "-P", "-c", READ, *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def active(store: dict[str, Any] | None) -> dict[str, Any]:
    assert store is not None
    assert store["state"] == "Valid"
    assert [one["code"] for one in store["validation_status"]] == ["signingCredential.untrusted"]
    return store["manifests"][store["active_manifest"]]


def actions(manifest: dict[str, Any]) -> list[tuple[str, str]]:
    found = next(one["data"]["actions"] for one in manifest["assertions"] if one["label"] == "c2pa.actions.v2")
    return [(one["action"], one.get("digitalSourceType", "").rpartition("/")[2]) for one in found]


def said(manifest: dict[str, Any]) -> dict[str, Any]:
    return next(one["data"] for one in manifest["assertions"] if one["label"] == "limner.parameters")


def source_of(file: Path) -> DigitalSource | None:
    with Image.open(file) as image:
        return source_in(image.info["xmp"])


def second_opinion(file: Path) -> tuple[str, str]:
    """Whether another implementation finds the manifest intact, and bound to these bytes."""
    report = encypher_c2pa.verify(file)
    return report["integrity"], report["hard_binding"]


async def painted(app: App, *jobs: Job) -> list[Path]:
    """The first pictures' files of some jobs after a worker has painted them."""
    await make_worker(app, AddingExpander()).run(burst=True)
    ended = [await app.jobs.get(job.id) for job in jobs]
    assert [job.status for job in ended] == [JobStatus.SUCCEEDED] * len(jobs), [job.reason for job in ended]
    return [app.images.path(job.images[0].sha256) for job in ended]


@pytest.fixture
def signing(settings: Settings, capsys: pytest.CaptureFixture[str]) -> Settings:
    certify(settings, "My studio")
    assert "does not know the\nsigner" in capsys.readouterr().out
    return settings


def photo(folder: Path, size: tuple[int, int] = (24, 16)) -> bytes:
    """A picture file that somebody else has signed."""
    other = make_certificate(folder / "somebody", "Somebody else")
    file = io.BytesIO()
    Image.effect_noise(size, 60).convert("RGB").save(file, "JPEG")
    return signed(file.getvalue(), "jpg", Statement("holiday photo", DigitalSource.COMPOSITE), other)


async def test_a_painted_picture_is_signed_and_so_is_what_is_made_of_pictures(
    signing: Settings, tmp_path: Path
) -> None:
    async with open_app(signing) as app:
        plain = await ask(app, "a red cat, night")
        await app.guilds.change(5, 1, signs_prompts=True)
        worded = await ask(app, "a blue dog", guild_id=5, channel_id=6, user_id=7)
        given = await app.inputs.store(photo(tmp_path))
        changed = await ask(app, "a hat", image=given, image_name="cat.jpg", user_id=8)
        ofile = await file_actions.upscale(app, asked(text="", image=given, image_name="cat.jpg", user_id=9), times=2)
        files = await painted(app, plain, worded, changed, ofile)
        files += await painted(
            app, await submit.upscale(app, await app.jobs.get(plain.id), user_id=0, where=plain.where)
        )
        files.append(referring_file(app, await app.jobs.get(plain.id), given, tmp_path / "referring.png"))
        stores = read(*files)
        first, with_words, edited, enlarged, larger, referring = map(active, stores)

    assert actions(first) == [("c2pa.created", "trainedAlgorithmicMedia")]
    assert first["claim_generator_info"][0]["name"] == "Limner"
    assert first["signature_info"]["issuer"] == "My studio"
    assert said(first)["Seed"] == "7"
    assert "cat" not in json.dumps(said(first))
    assert said(with_words)["Prompt"].startswith("a blue dog")
    assert actions(edited)[-1] == ("c2pa.edited", "trainedAlgorithmicMedia")
    assert actions(enlarged)[-1] == ("c2pa.edited", "algorithmicallyEnhanced")
    assert actions(referring) == [("c2pa.created", "trainedAlgorithmicMedia")]
    made_of = [[one["relationship"] for one in store["ingredients"]] for store in (edited, enlarged, larger, referring)]
    assert made_of == [["parentOf"], ["parentOf"], ["parentOf"], ["inputTo"]]
    for store in (stores[2], stores[3], stores[5]):
        assert store, "a manifest"
        titles = {one["title"] for one in store["manifests"].values()}
        assert "holiday photo" in titles, "the given picture's own manifest is kept"
    assert stores[4], "a manifest"
    assert first["label"] in stores[4]["manifests"]
    assert {second_opinion(file) for file in files} == {("valid", "match")}
    assert read_parameters(files[0].read_bytes()).pairs["Seed"] == "7"
    sources = [source_of(file) for file in files[:4]]
    assert sources == [DigitalSource.TRAINED, DigitalSource.TRAINED, DigitalSource.TRAINED, DigitalSource.ENHANCED]


def referring_file(app: App, job: Job, picture: str, file: Path) -> Path:
    """The file of a picture that was painted with a reference picture, without starting from it."""
    request = replace(job.generation, references=(Reference(role=Role.STYLE, picture=picture),))
    job.request = request.to_json()
    image = app.images.open(job.images[0].sha256)
    file.write_bytes(finished_file(app, job, image, "a cat\nSteps: 3", start=None, signs_prompt=False))
    return file


async def test_a_smaller_copy_is_signed_as_well(signing: Settings, tmp_path: Path) -> None:
    statement = Statement("noise", DigitalSource.TRAINED)
    noise = Image.effect_noise((300, 300), 60).convert("RGB")
    images = ImageStore(tmp_path / "images", Cipher())
    sha256 = images.save(signed(encode_png(noise, "x", DigitalSource.TRAINED), "png", statement, signing.signing))
    decoder, file = PictureDecoder(images, 10_000, signing.signing), images.path(sha256)
    copies: list[Path] = []
    for share in (0.95, 0.3):
        most = int(file.stat().st_size * share)
        [found] = await decoder.fit([sha256], most)
        assert found, "a copy"
        assert len(found[1]) <= most
        copies.append(tmp_path / f"copy.{found[0]}")
        copies[-1].write_bytes(found[1])
    assert [copy.suffix for copy in copies] == [".webp", ".jpg"]
    original, *copied = read(file, *copies)
    for copy, store in zip(copies, copied, strict=True):
        assert actions(active(store))[-1][0] == "c2pa.transcoded"
        assert active(original)["label"] in (store or {})["manifests"]
        assert second_opinion(copy) == ("valid", "match")
        assert source_of(copy) == DigitalSource.TRAINED


@pytest.mark.slow
async def test_the_files_of_an_animation_are_signed_as_well(signing: Settings, tmp_path: Path) -> None:
    noise = [Image.effect_noise((128, 128), 60).convert("RGB") for _ in range(3)]
    images, statement = ImageStore(tmp_path / "images", Cipher()), Statement("noise", DigitalSource.TRAINED)
    png = signed(encode_png(noise[0], "x", DigitalSource.TRAINED, noise[1:]), "png", statement, signing.signing)
    decoder = PictureDecoder(images, 10_000, signing.signing)
    for found in await decoder.clips(images.save(png), 10**6, Animation(8)):
        assert found
        kind, data = found
        reader = c2pa.Reader(MIME_TYPES[kind], io.BytesIO(data))
        store = {**json.loads(reader.json()), "state": reader.get_validation_state()}
        assert store["state"] == "Valid"
        assert actions(active(store))[-1][0] == "c2pa.transcoded"
        assert [one["relationship"] for one in active(store)["ingredients"]] == ["parentOf"]


def expire(signing: Settings) -> None:
    key, day = ec.generate_private_key(ec.SECP256R1()), datetime(2020, 1, 1, tzinfo=UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "late")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(day).not_valid_after(day + timedelta(days=9))
    signing.signing.certificate.write_bytes(builder.sign(key, SHA256()).public_bytes(Encoding.PEM))
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    signing.signing.key.write_bytes(pem)


BROKEN: dict[str, tuple[Callable[[Settings], object], str]] = {
    "expired": (expire, "expired on 2020-01-10"),
    "no key": (lambda given: given.signing.key.unlink(), "cannot be read: No such file"),
    "no certificate": (lambda given: given.signing.certificate.write_text("hello"), "is no certificate in PEM form"),
    "broken key": (lambda given: given.signing.key.write_text("hello"), "is no private key in PEM form"),
    "another key": (
        lambda given: given.signing.key.write_bytes(make_certificate(given.data / "b", "B").key.read_bytes()),
        "is not the one of the certificate",
    ),
}


@pytest.mark.parametrize("broken", BROKEN)
async def test_a_certificate_that_cannot_sign_is_named_and_pictures_come_unsigned(
    signing: Settings, broken: str, caplog: pytest.LogCaptureFixture
) -> None:
    spoil, sentence = BROKEN[broken]
    spoil(signing)
    found = certificate(signing)
    assert (found.status, sentence in found.what, "limner certify" in found.mend) == ("fail", True, True)
    png = encode_png(Image.new("RGB", (8, 8)), "x", DigitalSource.TRAINED)
    with caplog.at_level(logging.WARNING):
        assert signed(png, "png", Statement("x", DigitalSource.TRAINED), signing.signing) == png
        async with open_app(signing):
            pass
    assert [record.getMessage().split(";")[0].split()[0] for record in caplog.records] == [
        "picture_unsigned",
        "pictures_unsigned",
    ]
    assert str(signing.data) not in caplog.text


def test_a_time_stamp_is_in_the_manifest_and_without_a_good_one_pictures_are_signed(
    signing: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    moment = datetime.now(UTC).replace(microsecond=0)
    good, unfit = Authority(moment), Authority(moment, fit=False)
    png = encode_png(Image.new("RGB", (8, 8)), "x", DigitalSource.TRAINED)

    def time_in(address: str) -> str | None:
        mine = signing.using(time_stamp_authority=address).signing
        store = read_store(
            signed(png, "png", Statement("x", DigitalSource.TRAINED), mine), mine.certificate.read_bytes()
        )
        assert store
        assert store["state"] == "Trusted"
        return store["manifests"][store["active_manifest"]]["signature_info"].get("time")

    with served(good) as address:
        assert datetime.fromisoformat(time_in(address) or "") == moment
        found = certificate(signing.using(time_stamp_authority=address))
        assert (found.status, good.stamped) == ("ok", 2)
    assert caplog.text == ""
    for liar in (served(good, "garbage"), served(good, "other"), served(unfit)):
        with liar as address:
            assert time_in(address) is None
            asked = good.stamped + unfit.stamped
            assert time_in(address) is None
            assert good.stamped + unfit.stamped == asked
    found = certificate(signing.using(time_stamp_authority="http://127.0.0.1:9/"))
    assert (found.status, "without a time stamp" in found.what) == ("warn", True)
    assert caplog.text.count("time_stamp_missing") == 4


def test_no_more_than_a_time_stamp_is_read_of_an_authority_that_never_ends_also_where_there_is_a_proxy(
    signing: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "")
    png = encode_png(Image.new("RGB", (8, 8)), "x", DigitalSource.TRAINED)
    statement = Statement("x", DigitalSource.TRAINED)

    def asked_of(authority: Authority, says: str) -> tuple[bytes, int]:
        with served(authority, says) as address:
            before = authority.stamped
            file = signed(png, "png", statement, signing.using(time_stamp_authority=address).signing)
        return file, authority.stamped - before

    authority = Authority(datetime.now(UTC))
    endless, asked_once = asked_of(authority, "more")
    assert (asked_once, "time" in signature(endless)) == (1, False)
    assert authority.sent < MUCH / 8
    proxied, _ = asked_of(authority, "stamps")
    assert "time" in signature(proxied)


def signature(file: bytes) -> dict[str, Any]:
    store = read_store(file, b"")
    assert store
    return store["manifests"][store["active_manifest"]]["signature_info"]


def test_a_silent_authority_is_waited_for_so_long_and_not_at_all_for_a_while() -> None:
    def asks(address: str) -> bytes | None:
        with suppress(OSError):
            return urllib.request.urlopen(address, b"?").read()
        return None

    with served(Authority(datetime.now(UTC)), "silence") as address:
        silent, began = TimeStampAuthority(address, 0.2), time.monotonic()
        tried = [silent.stamped(asks) for _ in range(50)]
    assert tried == [None] * 50
    assert time.monotonic() - began < 5


def test_doctor_says_who_signs_and_certify_overwrites_nothing(signing: Settings) -> None:
    found = certificate(signing)
    assert (found.status, "O=My studio" in found.what) == ("ok", True)
    before = signing.signing.key.read_bytes()
    with pytest.raises(SetupError, match="There is a certificate"):
        certify(signing, "Another")
    assert signing.signing.key.read_bytes() == before
    assert signing.signing.key.stat().st_mode & 0o077 == 0
    unset = certificate(signing.using(data=signing.data / "elsewhere"))
    assert (unset.status, "unsigned" in unset.what) == ("warn", True)
