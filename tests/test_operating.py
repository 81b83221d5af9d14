"""What docs/operators.md tells an operator to do is done here as it is written: backup, restore, the systemd unit."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.discord_records import CHANNEL, until
from tests.discord_server import DiscordServer
from tests.images_server import open_painting_server, settings_of
from tests.studio import open_studio

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "operators.md").read_text(encoding="utf-8")


def commands(heading: str) -> str:
    """The first block of commands under a heading."""
    return PAGE.split(f"\n## {heading}\n", 1)[1].split("```", 2)[1].split("\n", 1)[1]


async def test_a_backup_while_jobs_run_restores_everything(tmp_path: Path):
    """Requests are made before, while and after the copy is taken; the restored bot answers all that it knows of."""
    script = commands("Back up and restore").replace(".venv/bin/python", sys.executable)
    kept = {"models": "tiny=org/tiny@64x48", "max_batch": 1, "max_jobs_per_user": 20, "lease_seconds": 2}
    async with (
        DiscordServer().open() as server,
        open_painting_server() as painting,
        open_studio(tmp_path / "data", server, **kept, **settings_of(painting)) as studio,
        open_studio(tmp_path / "restored", server, **kept, **settings_of(painting)) as restored,
    ):
        # One picture comes at once; the others are being painted until the backup is taken.
        painting.refuse = lambda _body: painting.free.clear() if len(painting.asked) > 1 else None
        await studio.start()
        for number in range(6):
            await server.slash(1 + number % 3, CHANNEL, "imagine", prompt=f"a red cat {number}")
        await until(lambda: any(row["delivered_at"] for row in studio.rows()), 60, "the first picture")

        subprocess.run(["bash", "-ec", script], cwd=tmp_path, check=True)
        await server.slash(4, CHANNEL, "imagine", prompt="too late for the backup")
        await studio.kill("both")
        shutil.copytree(tmp_path / "backup", restored.folder)
        painting.refuse = lambda _body: None
        painting.free.set()
        copied = {row["id"]: row["status"] for row in restored.rows()}
        await restored.start()

        assert {"succeeded"} < {*copied.values()} <= {"queued", "running", "succeeded"}
        await until(lambda: all(row["delivered_at"] for row in restored.rows()), 90, "every request is answered")
        assert {row["status"] for row in restored.rows()} == {"succeeded"}
        assert [row["id"] for row in restored.rows()] == [*copied]
        assert {row["sha256"] for row in restored.rows("images")} <= {name.split(".")[0] for name in restored.files()}
        posted = [post for post in server.posts.values() if post.files]
        assert len(posted) >= len(copied)
        assert all(len(post.files) == 1 for post in posted)


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="this machine has no systemd")
def test_the_systemd_unit_is_valid(tmp_path: Path):
    unit = (
        commands("As a service")
        .replace("/opt/limner/.venv/bin/limner", sys.executable)
        .replace("User=limner", "User=root")
    )
    file = tmp_path / "limner.service"
    file.write_text(unit)

    done = subprocess.run(["systemd-analyze", "verify", str(file)], capture_output=True, text=True, check=False)

    complaints = [line for line in done.stderr.splitlines() if re.search(r"limner\.service", line)]
    assert not complaints
