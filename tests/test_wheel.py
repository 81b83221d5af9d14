"""The wheel in an environment of its own, inside a host bot with a `bot` and a `migrations` package of its own."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import textwrap
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
HOST = {
    "bot/__init__.py": "Something = 'the host\\'s own'\n",
    "migrations/__init__.py": "THEIRS = True\n",
    "cogs/thing.py": """
        from bot import Something
        from discord.ext import commands

        class Thing(commands.Cog):
            said = Something

        async def setup(client):
            await client.add_cog(Thing())
        """,
    "bot.py": """
        import asyncio, pathlib, sys

        import discord, simcord
        from discord.ext import commands

        async def main():
            client = commands.Bot(commands.when_mentioned, intents=discord.Intents.default())
            env = simcord.Env(client)
            await env.start()
            guild = env.create_guild("Host")
            channel = guild.create_text_channel("art")
            ada = guild.add_member(env.create_user("ada"))
            await client.load_extension("cogs.thing")
            await client.load_extension("limner")
            await client.tree.sync()
            result = await ada.slash(channel, "imagine", prompt="a red apple")
            deadline = asyncio.get_running_loop().time() + 150
            while not (files := [a for m in channel.history() for a in m.attachments]):
                assert asyncio.get_running_loop().time() < deadline, result.response.content
                await asyncio.sleep(0.2)
            print(client.get_cog("Thing").said, files[0].filename.endswith(".png"))
            await client.unload_extension("limner")
            import bot, migrations
            here = pathlib.Path(__file__).parent
            print(all(pathlib.Path(one.__file__).is_relative_to(here) for one in (bot, migrations)))
            print([name for name in sys.modules if name == "limner" or name.startswith("limner.")])
            await env.shutdown()

        asyncio.run(main())
        """,
}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run([sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(folder), str(ROOT)], check=True)
    return next(folder.glob("limner-*.whl"))


@pytest.mark.slow
def test_the_wheel_holds_one_package(wheel: Path):
    names = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}

    assert {name for name in names if not name.endswith(".dist-info")} == {"limner"}


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_host_with_a_bot_package_of_its_own_loads_uses_and_unloads_it(wheel: Path, tmp_path: Path):
    fresh = tmp_path / "fresh"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(fresh)], check=True)
    python = fresh / "bin" / "python"
    paths = sysconfig.get_paths(vars={"base": str(fresh), "platbase": str(fresh)})
    # The dependencies are those of this environment; Limner itself is only what the wheel holds.
    site = Path(paths["purelib"])
    (site / "dependencies.pth").write_text("\n".join(path for path in sys.path if path.endswith("site-packages")))
    zipfile.ZipFile(wheel).extractall(site)
    host = tmp_path / "host"
    for name, source in HOST.items():
        (host / name).parent.mkdir(parents=True, exist_ok=True)
        (host / name).write_text(textwrap.dedent(source))
    environment = {"LIMNER_DATA": str(tmp_path / "data"), "LIMNER_EXPANDER": "off", "LIMNER_DEVICE": "cpu", "PATH": ""}
    subprocess.run([python, "-m", "limner", "migrate"], cwd=host, env=environment, check=True)

    done = subprocess.run([python, "bot.py"], cwd=host, env=environment, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["the host's own True", "True", "[]"]
