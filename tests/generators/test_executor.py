import logging
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from limner.generators.base import Failed, Finished, Progress
from limner.generators.cards.model_card import ModelCard
from limner.generators.errors import BadRequest, GenerationError, ModelNotFound, OutOfMemory
from limner.generators.executor import Executor
from tests.tiny_models import SIDE, tiny_request

MakeExecutor = Callable[..., Executor]
PIXELS = SIDE * SIDE

MISBEHAVING = '''
from limner.generators.diffusion.generator import DiffusionGenerator

class Misbehaving(DiffusionGenerator):
    """A plugin's generator: real, until a request asks for a crash."""

    def admit(self, key, request):
        if request.prompt == "crash in admit":
            raise KeyError("a secret detail")
        super().admit(key, request)

    def step(self):
        if any(flight.request.prompt == "crash" for flight in self._flights.values()):
            raise RuntimeError("a secret detail")
        return super().step()

    def close(self):
        if self._flights:
            raise RuntimeError("cannot close either")
        super().close()

class Unloadable:
    @classmethod
    def load(cls, card, **options):
        raise RuntimeError("a secret detail")
'''

ENTRY_POINTS = """
[limner.generators]
diffusion = limner.generators.diffusion.generator:DiffusionGenerator
misbehaving = misbehaving_plugin:Misbehaving
unloadable = misbehaving_plugin:Unloadable
"""


@pytest.fixture(autouse=True)
def installed_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A package with entry points, as pip would leave it on the path."""
    metadata = tmp_path / "misbehaving_plugin-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: misbehaving-plugin\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(ENTRY_POINTS)
    (tmp_path / "misbehaving_plugin.py").write_text(MISBEHAVING)
    monkeypatch.syspath_prepend(tmp_path)  # pyright: ignore[reportUnknownMemberType]
    yield
    sys.modules.pop("misbehaving_plugin", None)


@pytest.fixture
def executor(tiny: Path, tiny_xl: Path) -> MakeExecutor:
    """Make an executor that offers a good model, another one, and bad ones."""
    cards = {
        "tiny": ModelCard.read("tiny", str(tiny)),
        "other": ModelCard.read("other", str(tiny_xl)),
        "shaky": ModelCard.read("shaky", str(tiny), kind="misbehaving"),
        "unloadable": ModelCard.read("unloadable", str(tiny), kind="unloadable"),
        "gone": ModelCard.read("gone", str(tiny / "gone")),
        "exotic": ModelCard.read("exotic", str(tiny), kind="not installed"),
    }
    return partial(Executor, cards, device="cpu", max_batch=8)


def run(executor: Executor) -> dict[str, Finished | Failed]:
    left: dict[str, Finished | Failed] = {}
    while executor.in_flight:
        left.update({event.key: event for event in executor.step() if isinstance(event, Finished | Failed)})
    return left


def test_a_model_is_loaded_by_its_first_request(executor: MakeExecutor):
    it = executor()
    assert (it.loaded, it.in_flight, it.capacity("tiny")) == ([], set(), 8 * PIXELS)
    it.admit("a", tiny_request())
    assert (it.loaded, it.in_flight, it.capacity("tiny")) == (["tiny"], {"a"}, 7 * PIXELS)
    assert it.step() == [Progress("a", 1, 3)]
    assert isinstance(run(it)["a"], Finished)
    assert (it.loaded, it.in_flight, it.step()) == (["tiny"], set(), [])
    it.close()
    assert it.loaded == []


def test_another_model_waits_for_the_busy_one_and_then_takes_its_place(executor: MakeExecutor):
    it = executor()
    it.admit("a", tiny_request())
    assert it.capacity("other") == 0
    with pytest.raises(GenerationError, match="busy with another model") as refused:
        it.admit("b", tiny_request(model="other"))
    assert refused.value.retryable
    run(it)
    assert it.capacity("other") == 8 * PIXELS
    it.admit("b", tiny_request(model="other"))
    assert it.loaded == ["other"]
    assert isinstance(run(it)["b"], Finished)


def test_two_models_are_stepped_side_by_side_and_the_one_unused_longest_goes(executor: MakeExecutor):
    it = executor(max_models=2)
    it.admit("a", tiny_request())
    it.admit("b", tiny_request(model="other"))
    assert {event.key for event in it.step()} == {"a", "b"}
    run(it)
    it.admit("c", tiny_request())
    run(it)
    it.admit("d", tiny_request(model="shaky"))
    assert it.loaded == ["tiny", "shaky"]


def test_evicting(executor: MakeExecutor):
    it = executor()
    it.admit("a", tiny_request())
    it.admit("b", tiny_request())
    it.evict("a")
    it.evict("never there")
    assert it.in_flight == {"b"}
    assert set(run(it)) == {"b"}


def test_a_crash_fails_its_own_generators_requests_and_the_next_one_gets_a_fresh_one(executor: MakeExecutor):
    it = executor(max_models=2)
    it.admit("neighbour", tiny_request())
    it.admit("a", tiny_request(model="shaky"))
    it.admit("b", tiny_request(model="shaky", prompt="crash"))
    events = it.step()
    failed = [event for event in events if isinstance(event, Failed)]
    assert [event.key for event in failed] == ["a", "b"]
    assert all(event.error.retryable and "secret" not in str(event.error) for event in failed)
    assert Progress("neighbour", 1, 3) in events
    assert (it.loaded, it.in_flight) == (["tiny"], {"neighbour"})
    it.admit("a", tiny_request(model="shaky"))
    assert all(isinstance(event, Finished) for event in run(it).values())


def test_a_crash_in_admit_costs_that_request(executor: MakeExecutor):
    it = executor()
    with pytest.raises(GenerationError, match="could not be finished") as failed:
        it.admit("a", tiny_request(model="shaky", prompt="crash in admit"))
    assert "secret" not in str(failed.value)
    it.admit("b", tiny_request(model="shaky"))
    assert set(run(it)) == {"b"}


@pytest.mark.parametrize("model", ["gone", "unknown", "exotic", "unloadable"])
def test_a_model_that_cannot_be_had(executor: MakeExecutor, model: str):
    it = executor()
    with pytest.raises(ModelNotFound, match=r"^[A-Z][^./]+\.$"):
        it.admit("a", tiny_request(model=model))
    it.admit("b", tiny_request())
    assert it.in_flight == {"b"}


def test_what_the_generator_refuses_is_not_in_flight(executor: MakeExecutor):
    it = executor(max_batch=2)
    with pytest.raises(BadRequest):
        it.admit("a", tiny_request(width=17))
    it.admit("b", tiny_request())
    with pytest.raises(OutOfMemory):
        it.admit("c", tiny_request(num_images_per_prompt=2))
    assert it.in_flight == {"b"}


def test_the_log_holds_models_and_numbers_but_no_prompts(executor: MakeExecutor, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.DEBUG, "limner.generators")
    it = executor()
    it.admit("a", tiny_request(prompt="zebra " * 40, negative_prompt="zebra"))
    run(it)
    assert "model_loaded model=tiny" in caplog.text
    assert "batch_stepped model=tiny requests=1" in caplog.text
    assert "zebra" not in caplog.text
