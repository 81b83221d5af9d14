"""Settings: where they come from, in which order, and what is said about those that are wrong."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, strategies
from hypothesis import strategies as st
from sqlalchemy import make_url

from limner.bot.errors import SetupError
from limner.bot.settings import Settings
from limner.bot.settings.fields import setting_names
from limner.bot.settings.model_sources import PRETRAINED

ROOT = Path(__file__).resolve().parent.parent.parent


def load(data: Path, environ: dict[str, str] | None = None, **given: object) -> Settings:
    return Settings.load(environ or {}, data=data, **given)


def write(data: Path, text: str) -> None:
    data.mkdir(exist_ok=True)
    (data / "limner.toml").write_text(text, encoding="utf-8")


def test_the_defaults_work_and_each_has_a_meaning(tmp_path: Path):
    settings = load(tmp_path)

    settings.check()
    assert settings == Settings(data=tmp_path)
    assert settings.default_card.name == "doodle"
    assert Path(settings.default_card.source) == PRETRAINED / "doodle"
    assert settings.default_card.width >= settings.default_card.multiple_of


def test_what_is_given_wins_over_the_environment_and_that_over_the_file(tmp_path: Path):
    write(tmp_path, 'max_steps = 10\nmax_count = 2\nmax_batch = 3\n[models]\ntiny = "somewhere"\n')
    environ = {"LIMNER_MAX_STEPS": "20", "LIMNER_MAX_COUNT": "3", "PATH": "x"}

    settings = load(tmp_path, environ, max_steps=30, device=None)

    assert (settings.max_steps, settings.max_count, settings.max_batch) == (30, 3, "3")
    assert settings.models == {"tiny": "somewhere"}
    assert settings.device == "auto"


def test_old_names_are_read_and_new_ones_win(tmp_path: Path):
    write(tmp_path, 'eyes = "off"\nreader_device = "cuda:0"\nreader = "pretrained:reader"\n')

    settings = load(tmp_path, {"LIMNER_EYES_TIMEOUT": "3"})
    newer = load(tmp_path, {"LIMNER_SAFETY_CLASSIFIER": "default", "LIMNER_EYES": "off"})

    assert (settings.safety_classifier, settings.safety_classifier_timeout) == ("off", 3.0)
    assert (settings.image_text_device, newer.safety_classifier) == ("cuda:0", "default")
    assert settings.image_text_source == newer.image_text_source
    assert Path(settings.image_text_source).is_dir()


def test_the_data_folder_comes_from_the_environment_too(tmp_path: Path):
    write(tmp_path, "max_steps = 10")

    assert Settings.load({"LIMNER_DATA": str(tmp_path)}).max_steps == 10
    assert Settings.load({}).data == Path("data")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("max_steps = ", "limner.toml is not valid TOML"),
        ("\x00", "limner.toml holds a zero byte in line 1"),
        ('safety_classifier = "nobody"', "`safety_classifier` must be default, off, a folder, a hub name"),
        ("explicit_limit = 1.5", "`explicit_limit` must be from 0 to 1"),
        ("explicit_limit_restricted = nan", "`explicit_limit_restricted` must be from 0 to 1"),
        ("block_distance = 40", "`block_distance` must be from 0 to 32"),
        ("max_step = 3", "sets max_step, which is not a setting; did you mean max_steps?"),
        ("whatever_else = 3", r"sets whatever_else, which is not a setting\.$"),
        ('max_steps = "many"', "`max_steps` must be a whole number"),
        ("max_steps = []", "`max_steps` must be a whole number"),
        ("max_steps = 0", "`max_steps` must be at least 1"),
        ("lease_seconds = nan", "`lease_seconds` must be at least"),
        ("models = 3", "`models` must be a list of name=value"),
        ("models = {}", "`models` is empty"),
        ('default_model = "other"', "names 'other', which is not among `models`"),
        ('[server_weights]\nmine = "2"', "`server_weights` must be a list of Discord id = weight"),
        ("[class_weights]\n12 = 0", "`class_weights` must be from 0.01 to 100"),
        ('[class_weights]\n12 = "nan"', "`class_weights` must be from 0.01 to 100"),
        ('device = "tpu"', "`device` knows no tpu"),
        ('dtype = "int4"', "`dtype` must be one of auto, float32"),
        ('[models]\nodd = "folder@12"', "'odd' has the size '12'; write it as"),
    ],
)
def test_what_is_wrong_is_told_in_a_sentence(tmp_path: Path, text: str, sentence: str):
    write(tmp_path, text)

    with pytest.raises(SetupError, match=sentence):
        _ = load(tmp_path).cards


def test_a_file_in_another_encoding_and_a_folder_in_its_place_are_told(tmp_path: Path):
    (tmp_path / "limner.toml").write_bytes("token = 'ä'".encode("latin-1"))
    with pytest.raises(SetupError, match=r"^The settings file limner.toml is not UTF-8 text \(line 1\)"):
        load(tmp_path)
    (tmp_path / "limner.toml").unlink()
    (tmp_path / "limner.toml").mkdir()
    with pytest.raises(SetupError, match="cannot be read"):
        load(tmp_path)


def test_an_unknown_variable_is_told_with_a_guess(tmp_path: Path):
    with pytest.raises(SetupError, match="sets LIMNER_TOKENS, which is not a setting; did you mean LIMNER_TOKEN"):
        load(tmp_path, {"LIMNER_TOKENS": "secret"})


@given(
    text=strategies.text(strategies.characters(exclude_categories=["Cc", "Cs"]), max_size=20),
    number=strategies.integers(1, 10**9),
    seconds=strategies.floats(0.1, 1e6),
    models=strategies.dictionaries(
        strategies.from_regex(r"[a-z]{1,5}", fullmatch=True), strategies.just("pretrained:doodle@64x32"), min_size=1
    ),
)
def test_another_process_reads_the_same_settings(text: str, number: int, seconds: float, models: dict[str, str]):
    settings = Settings(
        data=Path("/nowhere"), expander_model=text, max_pixels=number, lease_seconds=seconds, models=models
    )

    assert Settings.load(settings.environment()) == settings


def test_the_token_stays_in_this_process(tmp_path: Path):
    assert "secret" not in str(Settings(data=tmp_path, token="secret").environment())


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("postgresql://ada@db/limner", "postgresql+asyncpg://ada@db/limner"),
        ("postgres://ada@db/limner?host=/tmp", "postgresql+asyncpg://ada@db/limner?host=/tmp"),
        ("postgresql+asyncpg://ada@db/limner", "postgresql+asyncpg://ada@db/limner"),
        ("sqlite:////srv/limner.db", "sqlite+aiosqlite:////srv/limner.db"),
    ],
)
def test_a_database_url_gets_its_driver(written: str, read: str):
    assert Settings(database_url=written).url == read


def test_the_database_is_in_the_data_folder_by_default(tmp_path: Path):
    assert Settings(data=tmp_path).url == f"sqlite+aiosqlite:///{tmp_path.resolve() / 'limner.db'}"


@given(name=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/\0"), min_size=1, max_size=40))
def test_the_folders_name_moves_no_database(name: str):
    url = make_url(Settings(data=Path("/srv") / name).url)
    assert (url.database, url.query) == (str((Path("/srv") / name / "limner.db").resolve()), {})


def test_a_model_has_the_size_that_its_setting_says(tmp_path: Path):
    settings = Settings(data=tmp_path, models={"a": "pretrained:doodle", "b": "some/name@640x384"}, default_model="b")

    assert (settings.cards["b"].width, settings.cards["b"].height, settings.cards["b"].source) == (
        640,
        384,
        "some/name",
    )
    assert settings.default_card.name == "b"
    assert settings.using(default_model="a").default_card.name == "a"


def test_nothing_is_read_at_import(tmp_path: Path):
    """A wrong variable is told by `load`, and not by a traceback of whoever imports the module."""
    script = "import limner.bot.settings, limner.bot.app; print('imported')"
    environ = {"LIMNER_NONSENSE": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", script], env=environ, cwd=tmp_path, capture_output=True, check=True)

    assert done.stdout == b"imported\n"


def test_every_setting_can_be_told_apart_in_the_environment():
    variables = Settings().environment()

    assert set(variables) == {f"LIMNER_{name.upper()}" for name in setting_names() if name != "token"}


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        (
            '{\n "width": 512,\n}',
            "is not valid JSON (line 2, column 14: a comma stands before a closing bracket; remove it).",
        ),
        ('{"title": "x",\n "width": [512]}', "is wrong in line 2: width must be a whole number from 8 to 16384."),
        ('{"width": "512"}', "is wrong in line 1: width must be a whole number from 8 to 16384."),
        ('{"height": true}', "is wrong in line 1: height must be a whole number from 8 to 16384."),
        ('{"multiple_of": 0}', "is wrong in line 1: multiple_of must be a whole number from 1 to 1024."),
        ('{"num_inference_steps": 2.5}', "is wrong in line 1: num_inference_steps must be a whole number from 1 to"),
        ('{"guidance_scale": NaN}', "is wrong in line 1: guidance_scale must be a number from 0 to 100."),
        ('{"title": 3}', "is wrong in line 1: title must be a text of at most 100 characters."),
        ('{"english_only": "no"}', "is wrong in line 1: english_only must be true or false."),
        ('{"loras": ["ink"]}', "is wrong in line 1: loras must be a table of names and files."),
        ("[]", "must be a table such as"),
    ],
)
def test_a_broken_model_costs_itself_only_and_is_named_with_its_line(tmp_path: Path, said: str, sentence: str):
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "limner.json").write_text(said)
    settings = Settings(data=tmp_path, models={"broken": str(broken), "doodle": "pretrained:doodle"})
    assert [*settings.cards] == ["doodle"]
    assert settings.default_card.name == "doodle"
    [problem] = settings.broken_models.values()
    assert problem.startswith(f"{broken / 'limner.json'} {sentence}")
    with pytest.raises(SetupError, match="No model can be used"):
        _ = Settings(data=tmp_path, models={"broken": str(broken)}).default_card


def test_weights_in_fewer_bits_and_compiled_code_are_for_models_that_can(tmp_path: Path):
    models = {"doodle": "pretrained:doodle", "gan": "pretrained:digits-gan"}
    settings = Settings(data=tmp_path, models=models, quantize={"doodle": "int8"})
    settings.check()
    assert (settings.cards["doodle"].quantize, settings.cards["gan"].quantize) == ("int8", "")
    assert "gan" in settings.using(quantize={"gan": "int8"}).broken_models
    for wrong in ({"doodle": "int4"}, {"other": "int8"}):
        with pytest.raises(SetupError, match="must be a list of model = int8, fp8 or nf4"):
            settings.using(quantize=wrong).check()
    attending = settings.using(attention={"doodle": "flash"})
    attending.check()
    assert attending.cards["doodle"].attention == "flash"
    for wrong in ({"doodle": "flash_hub"}, {"other": "flash"}):
        with pytest.raises(SetupError, match="`attention` must be a list of model = flex, _native_cudnn"):
            settings.using(attention=wrong).check()
    compiled = settings.using(compile="gan, doodle")
    compiled.check()
    assert compiled.cards["doodle"].compile_cache == str(tmp_path / "cache" / "compiled")
    assert settings.cards["doodle"].compile_cache == ""
    with pytest.raises(SetupError, match="`compile` names 'other', which is no model on this machine"):
        settings.using(compile="doodle,other").check()


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_models_file_of_notepad_or_powershell_is_read(tmp_path: Path, encoding: str):
    (tmp_path / "limner.json").write_bytes('{"title": "größe", "width": 64}'.encode(encoding))
    card = Settings(data=tmp_path, models={"mine": str(tmp_path)}).cards["mine"]
    assert (card.title, card.width) == ("größe", 64)


@pytest.mark.parametrize("config", ['{"sample_size": "x", "down_block_types": 3}', '{"block_out_channels": 7}'])
def test_odd_configurations_of_a_model_are_not_believed(tmp_path: Path, config: str):
    for part in ("unet", "vae"):
        (tmp_path / part).mkdir()
        (tmp_path / part / "config.json").write_text(config)
    assert Settings(data=tmp_path, models={"mine": str(tmp_path)}).cards["mine"].width == 1024
