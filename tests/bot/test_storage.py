"""Picture files: whole or not at all, also when the disk is full or the process is killed."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from limner.bot.errors import StorageFailed, StorageFull, StorageReadOnly
from limner.bot.storage.cipher import Cipher
from limner.bot.storage.pictures.image_store import ImageStore

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    return ImageStore(tmp_path / "images", Cipher())


def files(store: ImageStore) -> list[Path]:
    return [path for path in store.folder.rglob("*") if path.is_file()]


def test_a_picture_comes_back_by_its_hash(store: ImageStore):
    sha256 = store.save(b"picture")

    assert sha256 == hashlib.sha256(b"picture").hexdigest()
    assert store.read(sha256) == b"picture"
    assert store.path(sha256) == store.folder / sha256[:2] / f"{sha256}.png"


def test_the_same_picture_twice_is_one_file(store: ImageStore):
    sha256 = store.save(b"picture")
    assert store.save(b"picture") == sha256
    store.keep(sha256)
    assert files(store) == [store.path(sha256)]


def test_a_picture_that_was_kept_stays_kept_when_it_is_saved_again(store: ImageStore):
    sha256 = store.save(b"picture")
    assert [*store.unkept()] == [sha256]

    store.keep(sha256)
    store.save(b"picture")

    assert store.unkept() == {}


def test_what_is_deleted_is_gone_and_may_be_gone_already(store: ImageStore):
    sha256 = store.save(b"picture")

    store.delete(sha256)
    store.delete(sha256)

    with pytest.raises(FileNotFoundError):
        store.read(sha256)


FULL = """
import resource, signal, sys
from pathlib import Path
from limner.bot.errors import StorageFull
from limner.bot.storage.cipher import Cipher
from limner.bot.storage.pictures.image_store import ImageStore

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    ImageStore(Path(sys.argv[1]), Cipher()).save(b"x" * 5000)
except StorageFull:
    print("told")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on file sizes")
def test_a_disk_that_fills_up_is_told_and_leaves_nothing(store: ImageStore):
    done = subprocess.run([sys.executable, "-c", FULL, store.folder], cwd=ROOT, capture_output=True, check=True)

    assert done.stdout == b"told\n"
    assert files(store) == []


KILLED = """
import os, sys
from pathlib import Path
from limner.bot.storage.cipher import Cipher
from limner.bot.storage.pictures.image_store import ImageStore
os.fsync = lambda handle: os.kill(os.getpid(), 9)
ImageStore(Path(sys.argv[1]), Cipher()).save(b"picture")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs kill -9")
def test_what_a_killed_process_leaves_is_never_read_and_is_swept(store: ImageStore):
    store.keep(sha256 := store.save(b"kept"))
    done = subprocess.run([sys.executable, "-c", KILLED, store.folder], cwd=ROOT, check=False)

    assert done.returncode == -signal.SIGKILL
    assert {path.suffix for path in files(store)} == {".png", ".part", ".new"}
    with pytest.raises(FileNotFoundError):
        store.read(hashlib.sha256(b"picture").hexdigest())
    assert store.sweep() == 0  # it may be another process, still writing
    assert store.sweep(older_than=-1) == 1
    store.delete(hashlib.sha256(b"picture").hexdigest())
    assert files(store) == [store.path(sha256)]
    assert store.save(b"picture") == hashlib.sha256(b"picture").hexdigest()


async def test_several_who_write_the_same_picture_do_not_disturb_each_other(store: ImageStore):
    data = b"picture" * 10_000

    hashes = await asyncio.gather(*(asyncio.to_thread(store.save, data) for _ in range(8)))

    assert len(set(hashes)) == 1
    assert store.read(hashes[0]) == data
    store.keep(hashes[0])
    assert files(store) == [store.path(hashes[0])]


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (errno.ENOSPC, StorageFull),
        (errno.EDQUOT, StorageFull),
        (errno.EFBIG, StorageFull),
        (errno.EROFS, StorageReadOnly),
        (errno.EACCES, StorageReadOnly),
        (errno.EPERM, StorageReadOnly),
        (errno.EIO, StorageReadOnly),
    ],
)
def test_only_a_full_disk_is_called_one(
    store: ImageStore, monkeypatch: pytest.MonkeyPatch, code: int, kind: type[StorageFailed]
):
    def refuse(_: int) -> None:
        raise OSError(code, "")

    monkeypatch.setattr("os.fsync", refuse)
    for write in (lambda: store.save(b"picture"), lambda: store.try_to_write(7)):
        with pytest.raises(StorageFailed) as told:
            write()
        assert (type(told.value), told.value.needed) == (kind, 7)
    assert files(store) == []
    monkeypatch.undo()
    store.try_to_write(7)
    assert files(store) == []
