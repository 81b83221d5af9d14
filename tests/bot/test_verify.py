"""/verify: what is said of a picture, how sure, and to whom."""

from __future__ import annotations

import io
import json
import struct
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import simcord
import skimage
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from PIL import Image, ImageOps

from limner.bot.cli.verify import verify_file
from limner.bot.errors import BadPicture
from limner.bot.moderation.blocked_images import ListedPicture
from limner.bot.provenance.certificates import make_certificate
from limner.bot.provenance.manifest import Statement, signed
from limner.bot.provenance.signing import FOLDER, Signing
from limner.bot.provenance.source import DigitalSource
from limner.bot.provenance.trustmark import TrustMarkWriter
from limner.bot.provenance.watermark import Watermark
from limner.bot.queue.endings import StoredPicture
from limner.bot.storage.pictures.image_files import encode_png
from limner.bot.storage.pictures.perceptual_hash import fingerprint
from limner.bot.storage.tables.models import Job
from limner.bot.storage.tables.picture_hashes import PictureHashes
from limner.bot.translation import _, speaking
from limner.bot.verify import MARKED
from limner.bot.worker.finished_files import marked
from tests.rows import seen
from tests.simulated_discord import World
from tests.tiny_trustmark import write_trustmark

Sent = tuple[str, bytes]


@pytest.fixture(autouse=True)
def patient(world: World) -> None:
    """A process of low priority opens each picture, which takes long on a busy machine."""
    world.env.settle_timeout = 60.0


@pytest.fixture(scope="module")
def astronaut() -> Image.Image:
    with Image.open(Path(str(skimage.__file__)).parent / "data" / "astronaut.png") as image:
        return ImageOps.fit(image.convert("RGB"), (256, 256))


def as_jpeg(image: Image.Image, **more: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=80, **more)
    return file.getvalue()


async def made_here(world: World, image: Image.Image) -> tuple[Job, Image.Image]:
    """A posted request of Ada's whose picture is this one, and the picture with its mark."""
    image, number = marked(world.app, image, None)
    png = encode_png(image, "a", DigitalSource.TRAINED)
    sha256 = world.app.images.save(png)
    await world.imagine("an astronaut")
    job = await world.claim()
    picture = StoredPicture(sha256, 256, 256, len(png), 7, replace(seen(), **vars(fingerprint(image))), mark=number)
    await world.app.jobs.save_expansion(job, job.expanded or _plain(), "an astronaut")
    assert await world.app.jobs.finish(job, [picture], seconds=0.1, busy_seconds=0.0)
    return await world.delivered(job), image


def _plain() -> Any:
    from limner.generators.base import Expansion

    return Expansion("an astronaut", "", (), "", 0.0)


async def said(world: World, who: simcord.MemberActor, data: bytes, name: str = "a.jpg") -> str:
    result = await who.slash(world.channel, "verify", picture=(name, data))
    return answer(result)


def answer(result: simcord.InteractionResult) -> str:
    assert result.ephemeral
    return result.followups[-1].content if result.followups else (result.response.content if result.response else "")


async def test_a_picture_made_here_is_known_again_and_its_owner_only_to_those_who_may(
    world: World, astronaut: Image.Image, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    job, marked = await made_here(world, astronaut)
    cut = as_jpeg(marked.crop((5, 9, 250, 256)))
    mine = await said(world, world.ada, cut)
    assert "invisible mark is in the pixels" in mine
    assert f"Request {job.id}, picture 1, asked for by <@{world.ada.id}>" in mine
    others = answer(await world.bob.context_menu(world.channel, "Verify", world.message(job)))
    assert "invisible mark is in the pixels" in others
    assert f"It was made here <t:{int(job.created_at)}:D>" in others
    assert str(world.ada.id) not in others
    assert f"<@{world.ada.id}>" in await said(world, world.grace, cut)

    known = ListedPicture(PictureHashes(pdq=fingerprint(marked).pdq), "a list of hashes")
    await world.app.blocked.block(world.guild.id, known, 0)
    flat = as_jpeg(astronaut.convert("L").convert("RGB"))
    looks = await said(world, world.bob, flat)
    assert "none of this bot's" in looks
    assert "a picture made here looks like it" in looks
    assert "none. Most programs" in looks
    assert "locked" not in looks
    same = "Picture 1 of this server's list (a list of hashes): 0 of 256 bits differ, so it counts as the same."
    assert same in await said(world, world.grace, flat)

    file = tmp_path / "cut.jpg"
    file.write_bytes(cut)
    await verify_file(world.app.settings, file)
    assert f"Request {job.id}, picture 1, asked for by {world.ada.id} 20" in capsys.readouterr().out

    await world.delete(job)
    erased = await said(world, world.grace, cut)
    assert "made here, and its request has been erased since" in erased
    assert str(world.ada.id) not in erased


@pytest.mark.slow
async def test_each_member_is_answered_in_their_language(world: World, astronaut: Image.Image) -> None:
    job, _marked = await made_here(world, astronaut)
    await world.app.members.choose_language(world.bob.id, "zh_CN")
    menu = await world.bob.context_menu(world.channel, "Verify", world.message(job))
    with speaking("zh_CN"):
        assert _(MARKED) in answer(menu)
    assert _(MARKED) not in answer(menu)


@pytest.mark.slow
async def test_a_trustmark_is_read_where_ours_is_lost_and_said_to_prove_nothing(
    world: World, astronaut: Image.Image, tmp_path: Path
) -> None:
    vars(world.app.settings)["trustmark"] = str(write_trustmark(tmp_path / "networks"))
    job, image = await made_here(world, astronaut.resize((512, 512)))
    scaled = io.BytesIO()
    image.resize((384, 384)).save(scaled, "PNG")
    found = await said(world, world.bob, scaled.getvalue(), "a.png")
    assert "none of this bot's" in found
    assert "number of a picture made here. Anybody can copy such a mark" in found
    assert f"It was made here <t:{int(job.created_at)}:D>" in found
    other = io.BytesIO()
    TrustMarkWriter(tmp_path / "networks").marked(astronaut, 77).save(other, "PNG")
    assert "TrustMark" not in await said(world, world.bob, other.getvalue(), "a.png"), "a stranger's number"
    vars(world.app.settings)["trustmark"] = str(tmp_path / "none")
    assert "looks like it" in await said(world, world.bob, scaled.getvalue(), "a.png")


async def test_manifests_are_told_apart(world: World, astronaut: Image.Image, tmp_path: Path) -> None:
    mine = make_certificate(world.app.settings.data / FOLDER, "My studio")
    other = make_certificate(tmp_path / "other", "Somebody else")
    plain = as_jpeg(astronaut)

    def with_manifest(signing: Signing) -> bytes:
        return signed(plain, "jpg", Statement("x", DigitalSource.TRAINED), signing)

    assert "signed by this bot (My studio)" in await said(world, world.bob, with_manifest(mine))
    theirs = await said(world, world.bob, with_manifest(other))
    assert "signed by Somebody else with Limner" in theirs
    assert "made with AI" in theirs
    changed = bytearray(with_manifest(mine))
    changed[-200] ^= 1
    assert "it is broken, or the file was changed" in await said(world, world.bob, bytes(changed))
    stripped = Image.open(io.BytesIO(with_manifest(mine))).convert("RGB")
    strangers = await said(world, world.bob, as_jpeg(Watermark(b"another key").marked(stripped, 5)))
    assert "**Manifest:** none" in strangers
    assert "none of this bot's" in strangers


class Hostile(Statement):
    """A statement whose words are chosen to be taken for the bot's, with an assertion of another shape than C2PA's."""

    def definition(self) -> str:
        maker = {"name": "Paint\n**Mark:** [this bot's](http://x.example) <@1>", "version": "1"}
        assertions = [{"label": "example.actions", "data": "words"}, *json.loads(super().definition())["assertions"]]
        return json.dumps({"claim_generator_info": [maker], "title": "x", "assertions": assertions})


def forged(mine: Signing, folder: Path) -> Signing:
    """A certificate that says what the bot's own says, its serial number too, for another key."""
    leaf, authority = x509.load_pem_x509_certificates(mine.certificate.read_bytes())
    key = ec.generate_private_key(ec.SECP256R1())
    builder = x509.CertificateBuilder().subject_name(leaf.subject).issuer_name(leaf.issuer)
    builder = builder.public_key(key.public_key()).serial_number(leaf.serial_number)
    builder = builder.not_valid_before(leaf.not_valid_before_utc).not_valid_after(leaf.not_valid_after_utc)
    for extension in leaf.extensions:
        builder = builder.add_extension(extension.value, extension.critical)
    chain = (builder.sign(key, SHA256()), authority)
    folder.mkdir()
    (folder / "certificate.pem").write_bytes(b"".join(one.public_bytes(Encoding.PEM) for one in chain))
    (folder / "key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return Signing(folder / "certificate.pem", folder / "key.pem")


async def test_a_foreign_file_cannot_pass_for_ours(world: World, astronaut: Image.Image, tmp_path: Path) -> None:
    mine = make_certificate(world.app.settings.data / FOLDER, "My studio")
    file = signed(as_jpeg(astronaut), "jpg", Hostile("x", DigitalSource.TRAINED), forged(mine, tmp_path / "forged"))
    answered = await said(world, world.bob, file)
    manifest, mark = answered.split("\n", 1)
    assert "this bot (" not in manifest
    assert "signed by My studio with Paint Mark this bot's (http x.example) 1, and the file is unchanged" in manifest
    assert "made with AI" in manifest
    assert mark.startswith("**Mark:** none of this bot's")


def wide_png(width: int) -> bytes:
    """A small file that claims to be so many pixels wide."""
    header = struct.pack(">IIBBBBB", width, width, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 100)), (b"IEND", b"")]
    packed = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


async def test_a_picture_that_is_too_large_is_not_opened(world: World) -> None:
    assert "**Pixels:** not read" in await said(world, world.bob, wide_png(50_000), "wide.png")
    assert "not a picture" in await said(world, world.bob, b"words", "a.png")
    with pytest.raises(BadPicture):
        await world.app.decoder.verify(b"words", world.app.settings.mark_key)
