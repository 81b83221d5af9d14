"""What `limner doctor` finds, and whether it says how to mend it."""

import importlib.util
import json
import re
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from limner.bot.app import App
from limner.bot.cli.doctor import machine
from limner.bot.cli.doctor.examine import examine
from limner.bot.cli.permissions import MOST_BYTES, NEEDED, Channel, invite_link, log_in
from limner.bot.errors import SetupError
from limner.bot.settings import Settings
from limner.generators.measured import Measured
from tests.images_server import open_painting_server

ALL = sum(NEEDED.values())
ME, EVERYONE, ROLE, OTHER_ROLE = "77", "2000", "5", "6"


@dataclass
class Discord:
    """The few routes of Discord's REST side that doctor asks, on this machine."""

    address: str = ""
    permissions: int = ALL
    channels: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    says: bytes | None = None

    async def answer(self, request: web.Request) -> web.Response:
        if self.says is not None:
            return web.Response(body=self.says)
        if request.headers.get("Authorization") != "Bot right":
            return web.json_response({"message": "401: Unauthorized"}, status=401)
        answers: dict[str, Any] = {
            "users/@me": {"id": ME, "username": "limner"},
            "applications/@me": {"id": "4242"},
            "users/@me/guilds": [{"id": EVERYONE, "name": "Studio", "permissions": str(self.permissions)}],
            f"guilds/{EVERYONE}/members/{ME}": {"roles": [ROLE, OTHER_ROLE]},
            f"guilds/{EVERYONE}/channels": self.channels,
            f"guilds/{EVERYONE}/roles": [{"id": ROLE, "permissions": "0"}, {"id": EVERYONE, "permissions": str(ALL)}],
        }
        return web.json_response(answers[request.match_info["path"]])


@pytest.fixture
async def discord() -> AsyncGenerator[Discord]:
    discord, application = Discord(), web.Application()
    application.add_routes([web.get("/{path:.*}", discord.answer)])
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    discord.address = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield discord
    await runner.cleanup()


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LIMNER_TOKEN", "LIMNER_DATA"):
        monkeypatch.delenv(name, raising=False)
    for name in (
        "LIMNER_SAFETY_CLASSIFIER",
        "LIMNER_EMBEDDER",
        "LIMNER_TEXT_CLASSIFIER",
    ):  # each takes a second to load
        monkeypatch.setenv(name, "off")


@pytest.fixture
def server_paints(discord: Discord, monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings under which nothing here needs torch, whose import takes long."""
    given = {"EXECUTOR": "openai", "IMAGES_URL": discord.address, "EXPANDER": "off", "MODELS": "flux=org/flux"}
    for name, value in given.items():
        monkeypatch.setenv(f"LIMNER_{name}", value)


def channel(name: str, *rules: tuple[str, int, int], kind: int = 0) -> dict[str, Any]:
    overwrites = [{"id": who, "allow": str(allow), "deny": str(deny)} for who, allow, deny in rules]
    return {"id": "31", "name": name, "type": kind, "permission_overwrites": overwrites}


def names(*bits: str) -> tuple[str, ...]:
    return bits


async def test_permissions_are_reckoned_by_discords_rule(discord: Discord) -> None:
    attach, embed = NEEDED["Attach Files"], NEEDED["Embed Links"]
    discord.channels = [
        channel("open"),
        channel("denied", (EVERYONE, 0, attach | embed)),
        channel("allowed-again-by-role", (EVERYONE, 0, attach), (ROLE, attach, 0)),
        channel("one-role-denies-another-allows", (OTHER_ROLE, 0, attach), (ROLE, attach, 0)),
        channel("the-member-itself-is-denied", (ROLE, attach, 0), (ME, 0, attach)),
        channel("somebody-else-is-denied", ("99", 0, attach)),
        channel("voice", (EVERYONE, 0, ALL), kind=2),
    ]
    login = await log_in("right", discord.address)
    assert (login.name, login.application_id) == ("limner", 4242)
    assert [replace(one, id=0, is_public=False) for one in login.channels] == [
        Channel("Studio", "open", ()),
        Channel("Studio", "denied", names("Embed Links", "Attach Files")),
        Channel("Studio", "allowed-again-by-role", ()),
        Channel("Studio", "one-role-denies-another-allows", ()),
        Channel("Studio", "the-member-itself-is-denied", names("Attach Files")),
        Channel("Studio", "somebody-else-is-denied", ()),
    ]


@pytest.mark.parametrize("says", [b"<html>", b"[" * 1_000_000, b"{}", b"[]", b" " * (MOST_BYTES + 1)], ids=len)
async def test_what_is_not_discords_answer_is_one_sentence(discord: Discord, says: bytes) -> None:
    discord.says = says
    with pytest.raises(SetupError, match="cannot be reached"):
        await log_in("right", discord.address)


async def test_an_administrator_lacks_nothing(discord: Discord) -> None:
    discord.permissions = 1 << 3
    discord.channels = [channel("denied", (EVERYONE, 0, ALL))]
    assert (await log_in("right", discord.address)).channels == [Channel("Studio", "denied", (), 31)]


def test_the_invite_link_asks_for_what_is_needed() -> None:
    assert invite_link(4242).endswith("client_id=4242&scope=bot+applications.commands&permissions=274878024704")


async def findings(capsys: pytest.CaptureFixture[str], data: Path, api: str = "") -> tuple[int, dict[str, Any]]:
    code = await examine(data, as_json=True, api=api)
    return code, json.loads(capsys.readouterr().out)


def found(said: dict[str, Any], words: str) -> dict[str, str]:
    return next(check for check in said["checks"] if words in check["what"])


@pytest.mark.parametrize("paints_here", [False, pytest.param(True, marks=pytest.mark.slow)])
async def test_everything_is_well_and_the_steps_are_printed(
    settings: Settings,
    discord: Discord,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    paints_here: bool,
) -> None:
    discord.channels = [channel("studio"), channel("rules", (EVERYONE, 0, ALL)), channel("talk")]
    async with open_painting_server() as server:
        given = {"TOKEN": "right", "EXPANDER": "off"}
        if paints_here:
            monkeypatch.delenv("LIMNER_SAFETY_CLASSIFIER")
        else:
            given |= {"EXECUTOR": "openai", "IMAGES_URL": server.address, "MODELS": "flux=org/flux"}
        for name, value in given.items():
            monkeypatch.setenv(f"LIMNER_{name}", value)
        assert await examine(settings.data, api=discord.address) == 0
    said = capsys.readouterr().out
    assert "ok    Studio: all permissions in #studio, #talk" in said
    assert "warn  Studio: the bot lacks View Channels, Send Messages" in said
    assert "client_id=4242" in said
    assert f"  5. limner --data {settings.data} run" in said
    assert bool(re.search(r"ok    safety classifier default: \d+ ms for a picture", said)) == paints_here
    assert "right" not in said.replace("the right", "")


@pytest.mark.usefixtures("server_paints")
@pytest.mark.parametrize("is_public", [True, False])
async def test_a_review_channel_that_everybody_reads_is_told(
    app: App, discord: Discord, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], is_public: bool
) -> None:
    await app.guilds.change(int(EVERYONE), 7, review_channel_id=31)
    denied = [] if is_public else [(EVERYONE, 0, NEEDED["View Channels"]), (ME, NEEDED["View Channels"], 0)]
    discord.channels = [channel("moderators", *denied), {**channel("talk"), "id": "32"}]
    monkeypatch.setenv("LIMNER_TOKEN", "right")
    _, said = await findings(capsys, app.settings.data, discord.address)
    monkeypatch.setenv("LIMNER_FLOOR_CHANNEL", "31")
    _, floor = await findings(capsys, app.settings.data, discord.address)
    assert any("#moderators, in which the floor's" in check["what"] for check in floor["checks"]) == is_public
    monkeypatch.setenv("LIMNER_FLOOR_CHANNEL", "33")
    _, floor = await findings(capsys, app.settings.data, discord.address)
    assert "the bot sees no channel 33 for the floor's refusals" in [check["what"] for check in floor["checks"]]
    told = [check["what"] for check in said["checks"] if "review channel" in check["what"]]
    assert (
        told == ["Studio: everybody can read the review channel #moderators, and what is held back there"] * is_public
    )


@pytest.mark.usefixtures("server_paints")
@pytest.mark.parametrize(
    ("file", "told"),
    [
        ("pytorch_model.bin", "has its weights in pytorch_model.bin, a pickle, which is not loaded"),
        ("config.json", "has no weights as safetensors"),
        ("model.safetensors", ""),
    ],
)
async def test_a_captioner_that_is_a_pickle_is_told(
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    file: str,
    told: str,
) -> None:
    (tmp_path / "captioner").mkdir()
    (tmp_path / "captioner" / file).write_bytes(b"")
    monkeypatch.setenv("LIMNER_CAPTIONER", str(tmp_path / "captioner"))
    _, said = await findings(capsys, settings.data)
    [check] = [one for one in said["checks"] if one["what"].startswith(("captioner", "the captioner"))]
    assert check["status"] == ("fail" if told else "ok")
    assert told in check["what"]


@pytest.mark.usefixtures("server_paints")
async def test_a_wrong_token_and_a_lost_network_are_told_apart(
    settings: Settings, discord: Discord, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LIMNER_TOKEN", "wrong")
    code, said = await findings(capsys, settings.data, discord.address)
    assert (code, found(said, "does not accept the token")["status"]) == (1, "fail")
    code, said = await findings(capsys, settings.data, "http://127.0.0.1:9")
    assert (code, found(said, "cannot be reached")["status"]) == (1, "fail")


@pytest.mark.parametrize(("file", "what"), [("models = 5", "setting `models`"), ("not toml", "not valid TOML")])
async def test_settings_that_cannot_be_read_fail_and_the_rest_is_not_guessed(
    settings: Settings, capsys: pytest.CaptureFixture[str], file: str, what: str
) -> None:
    (settings.data / "limner.toml").write_text(file)
    code, said = await findings(capsys, settings.data)
    assert code == 1
    assert found(said, what)["status"] == "fail"
    assert "limner.toml" in found(said, what)["mend"]


@pytest.mark.usefixtures("server_paints")
async def test_a_worker_that_cannot_store_pictures_and_a_folder_that_takes_none_are_told(
    settings: Settings, app: App, capsys: pytest.CaptureFixture[str]
) -> None:
    (settings.data / "images").write_text("a file where the folder should be")
    said_of_it: dict[str, Any] = {"device": "cpu", "weights": [], "room": 1, "painting": None}
    await app.worker_registry.report("one", **said_of_it, trouble="readonly")
    code, said = await findings(capsys, settings.data)
    assert code == 1
    assert found(said, "images cannot be written")["status"] == "fail"
    paused = found(said, "1 worker, 1 of them paused: pictures cannot be stored")
    assert (paused["status"], "full" in paused["what"]) == ("fail", False)


async def test_a_new_machine_lacks_a_database_and_a_token_and_settings_that_cannot_work_are_named(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (settings.data / "limner.db").unlink()
    for name in ("empty", "pickled"):
        (tmp_path / name).mkdir()
    parts = {"_class_name": "StableDiffusionPipeline", "unet": ["diffusers", "UNet2DConditionModel"]}
    (tmp_path / "pickled" / "model_index.json").write_text(json.dumps(parts))
    (tmp_path / "pickled" / "unet").mkdir()
    for name in ("config.json", "unet.bin"):
        (tmp_path / "pickled" / "unet" / name).write_text("{}")
    models = [f'{name} = "{(tmp_path / name).as_posix()}"' for name in ("empty", "pickled")]
    on = ['dtype = "fastest"', 'compile = "hub,pickled"', 'attention = {hub = "flash"}', 'quantize = {hub = "int8"}']
    wrong = ['styles = "nowhere.toml"', 'expander = "magic"']
    models += ['doodle = "pretrained:doodle"', 'mine = "/no/such/folder"', 'hub = "somebody/no-such-model"']
    lines = [*on, *wrong, "[models]", *models]
    (settings.data / "limner.toml").write_text("\n".join(lines))
    measured, key = Measured(settings.measured_file), "cpu with 2 cores|somebody/no-such-model|512x512"
    measured.put("batch", key, 8)
    measured.put("formats", f"{key}|torch 2", {"chosen": "bfloat16", "seconds": {"float32": 0.3, "bfloat16": 0.2}})
    measured.put("formats", f"{key}|torch 1", {"chosen": "float32"})
    here = f"|torch {version('torch')}|diffusers {version('diffusers')}"
    measured.put("compiled", f"{key}{here}", {"sizes": [1, 4], "times": {"1": 0.8, "2": 0.96, "4": 0.5}})
    measured.put("compiled", f"{key}|torch 1|diffusers 1", {"sizes": [1], "times": {"1": 0.1}})
    measured.put("compiled", f"gpu|somebody/no-such-model|512x512{here}", {"sizes": [], "times": {"1": 0.97}})
    for device, value in {"gpu": {"time": 0.5}, "old": {"time": 1.1}, "cpu": {"problem": "package"}, "x": 7}.items():
        measured.put("attention", f"{device}|somebody/no-such-model|512x512|float16|flash{here}", value)
    measured.put("attention", f"gpu|somebody/no-such-model|512x512|float16|sage{here}", {"time": 0.1})
    code, said = await findings(capsys, settings.data)
    assert found(said, "no tables") | {"what": ""} == {
        "status": "fail",
        "what": "",
        "mend": f"limner --data {settings.data} migrate",
    }
    assert found(said, "no Discord token")["status"] == "warn"
    assert {found(said, words)["status"] for words in ("Python", "data folder", "model doodle", "torch")} == {"ok"}
    assert "client_id=APPLICATION_ID" in said["invite"]
    seen = [check["what"] for check in said["checks"] if check["what"].startswith("model hub on ")]
    assert [what.partition(" on ")[2] for what in seen] == [
        "cpu with 2 cores: 8 samples in a call",
        "cpu with 2 cores: bfloat16, 1.50 times as fast as the usual format",
        "gpu: attention by flash, 2.00 times as fast",
        "old: attention by flash saves no time and is off",
        "cpu: attention by flash is off: its package is missing here, or too old",
        "cpu with 2 cores: compiled for calls of 1, 4 samples, 1.25, 2.00 times as fast",
        "gpu: compiling saves no time and is off",
    ]
    assert found(said, "model hub: number format fastest, weights int8, offloading none")["status"] == "ok"
    assert found(said, "model pickled: what compiling saves is measured")["status"] == "ok"
    assert "no model_index.json" in found(said, "model empty")["what"]
    assert "no safetensors" in found(said, "model pickled")["what"]
    assert found(said, "model hub")["status"] == "warn"
    assert found(said, "model hub")["mend"] == "hf download somebody/no-such-model"
    assert code == 1
    for what, setting in (
        ("nowhere.toml", "STYLES"),
        ("no expander 'magic'", "EXPANDER"),
        ("no folder or file /no/such/folder", "MODELS"),
    ):
        assert found(said, what)["status"] == "fail"
        assert f"LIMNER_{setting}" in found(said, what)["mend"]


@pytest.mark.usefixtures("server_paints")
async def test_a_chat_server_is_asked(
    settings: Settings, discord: Discord, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LIMNER_EXPANDER", "openai")
    monkeypatch.setenv("LIMNER_EXPANDER_URL", discord.address)
    _, said = await findings(capsys, settings.data)
    assert "wants another key" in found(said, "chat server")["what"]
    assert found(said, "chat server")["mend"] == "LIMNER_EXPANDER_API_KEY"
    monkeypatch.setenv("LIMNER_EXPANDER_URL", "http://127.0.0.1:9/v1")
    _, said = await findings(capsys, settings.data)
    assert "does not answer" in found(said, "chat server")["what"]
    assert found(said, "chat server")["status"] == "warn"


async def test_an_images_server_is_asked(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async with open_painting_server() as server:
        server.key = "right"
        given = {"EXECUTOR": "openai", "IMAGES_URL": server.address, "EXPANDER": "off", "MODELS": "flux=org/flux"}
        for name, value in given.items():
            monkeypatch.setenv(f"LIMNER_{name}", value)
        code, said = await findings(capsys, settings.data)
        assert (code, found(said, "wants another key")["mend"]) == (1, "LIMNER_IMAGES_API_KEY")
        monkeypatch.setenv("LIMNER_IMAGES_API_KEY", "right")
        code, said = await findings(capsys, settings.data)
        assert (code, found(said, "images server http")["status"]) == (0, "ok")
        assert found(said, "model flux")["status"] == "ok"
        assert not [check for check in said["checks"] if "torch" in check["what"]]  # nothing here needs it
    code, said = await findings(capsys, settings.data)
    assert (code, found(said, "images server http")["mend"]) == (1, "start it, or LIMNER_IMAGES_URL")


@pytest.mark.usefixtures("server_paints")
async def test_old_names_of_settings_work_and_are_reported_with_the_new_ones(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (settings.data / "limner.toml").write_text('reader = ""\n', "utf-8")
    monkeypatch.delenv("LIMNER_SAFETY_CLASSIFIER")
    monkeypatch.setenv("LIMNER_EYES", "off")
    _, said = await findings(capsys, settings.data)

    assert found(said, "the setting LIMNER_EYES is deprecated")["mend"] == "LIMNER_SAFETY_CLASSIFIER"
    assert found(said, "the setting reader is deprecated")["mend"] == "image_text_model"
    assert found(said, "the safety classifier is off")
    assert found(said, "no image-text model")


@pytest.mark.slow
@pytest.mark.usefixtures("server_paints")
async def test_a_safety_classifier_that_does_not_work_is_reported(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _, said = await findings(capsys, settings.data)
    assert found(said, "the safety classifier is off") | {"what": ""} == {
        "status": "warn",
        "what": "",
        "mend": "LIMNER_SAFETY_CLASSIFIER=default",
    }
    monkeypatch.setenv("LIMNER_SAFETY_CLASSIFIER", str(settings.data))
    code, said = await findings(capsys, settings.data)
    assert (code, found(said, "wait in quarantine")["status"]) == (1, "fail")
    assert "LIMNER_SAFETY_CLASSIFIER" in found(said, "wait in quarantine")["mend"]


async def test_ray_is_looked_for(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LIMNER_EXECUTOR", "ray")
    code, said = await findings(capsys, settings.data)
    assert (code, found(said, "Ray 2.")["status"]) == (0, "ok")
    monkeypatch.setenv("LIMNER_RAY_ADDRESS", "127.0.0.1:9")
    code, said = await findings(capsys, settings.data)
    assert (code, found(said, "no Ray cluster")["mend"]) == (1, "ray start, or LIMNER_RAY_ADDRESS")
    monkeypatch.setattr(importlib.util, "find_spec", dict[str, Any]().get)
    code, said = await findings(capsys, settings.data)
    assert (code, found(said, "Ray is not installed")["mend"]) == (1, "pip install -e .[ray]")


@pytest.mark.parametrize(("wanted", "status"), [("cuda:0", "fail"), ("auto", "warn")])
def test_an_nvidia_card_that_torch_cannot_use_is_not_given_up(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, wanted: str, status: str
) -> None:
    torch: dict[str, Any] = {"version": "2.13.0+cpu", "cuda": [], "mps": False}
    check = machine.device_state("cuda:99", torch | {"cuda": ["one"]})
    assert (check.status, "no device cuda:99" in check.what, check.mend) == ("fail", True, "LIMNER_DEVICE=auto")
    monkeypatch.setattr(machine, "DRIVER", tmp_path)
    check = machine.device_state(wanted, torch)
    assert (check.status, "CUDA build of torch" in check.mend) == (status, True)


async def test_a_clock_that_is_off_is_told(
    settings: Settings, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere, real = settings.using(database_url=postgres_url), time.time
    assert await machine.clock(elsewhere) is None
    monkeypatch.setattr(time, "time", lambda: real() - 30)
    check = await machine.clock(elsewhere)
    assert check
    assert check.what == "this machine's clock is 30 s behind the database server's"
