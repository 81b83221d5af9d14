"""How many samples go into one call: what fits and saves time, learned while requests are painted, and kept."""

# pyright: basic, reportPrivateUsage=false

import json
import stat
from collections import Counter
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from limner.generators.base import FIRST_BATCH, Finished
from limner.generators.cards.model_card import ModelCard
from limner.generators.diffusion import batch_size, generator
from limner.generators.diffusion.batch_size import AGAIN_AFTER, COMPARED_CALLS, LONG_SECONDS, BatchSize, best_batch
from limner.generators.diffusion.generator import DiffusionGenerator
from limner.generators.executor import Executor
from limner.generators.measured import Measured
from limner.generators.requests import GenerationRequest
from tests.generators.test_diffusion import stock_images
from tests.tiny_models import SIDE, tiny_request

CARD = ModelCard(name="m", source="", width=10, height=10)
SAMPLE = 100


def feed(size: BatchSize, waiting: int, seconds: dict[int, float], calls: int = 180) -> list[int]:
    """Make calls of so many waiting samples that take ``seconds`` by their number; the samples of each."""
    made: list[int] = []
    for _ in range(calls):
        samples = min(size.choose(waiting * SAMPLE) // SAMPLE, waiting)
        size.took(samples * SAMPLE, 2 * samples, seconds[samples])
        made.append(samples)
    return made


@pytest.mark.parametrize(
    ("fits", "waiting", "seconds", "expected"),
    [
        (64, 64, {1: 1.0, 2: 1.2, 4: 1.5, 8: 2.9, 16: 9.0}, 8),
        (64, 64, {1: 1.0, 2: 1.97, 4: 4.0}, 1),
        (8, 64, {1: 0.1, 2: 0.11, 4: 0.12, 8: 0.13}, 8),
        (64, 3, {1: 0.1, 2: 0.11}, 2),
    ],
)
def test_the_size_is_doubled_while_that_fits_and_saves_time_and_enough_wait(
    fits: int, waiting: int, seconds: dict[int, float], expected: int
):
    kept: list[int] = []
    size = BatchSize(CARD, fits * SAMPLE, 1, kept.append)
    scale = min(1.0, LONG_SECONDS / max(seconds.values()))
    made = feed(size, waiting, {samples: scale * each for samples, each in seconds.items()})
    assert size.samples == expected
    assert made[-1] == min(expected, waiting)
    assert ([1, *kept][-1], kept) == (expected, sorted(kept))


def test_calls_that_take_long_are_not_doubled():
    size = BatchSize(CARD, 64 * SAMPLE, 2, [].append)
    assert set(feed(size, 16, {2: 1.1 * LONG_SECONDS, 4: 1.1 * LONG_SECONDS})) == {2}


@pytest.mark.parametrize(
    ("kept", "seconds", "expected"),
    [
        (16, {1: 0.1, 2: 0.11, 4: 0.12, 8: 0.3, 16: 0.7}, 4),
        (16, {1: 0.1, 2: 0.21, 4: 0.43, 8: 0.9, 16: 1.9}, 1),
        (16, {4: 0.1, 8: 0.1, 16: 0.1, 32: 0.3}, 16),
        (4, {1: 0.1, 2: 0.1, 4: 0.1, 8: 0.1, 16: 0.1, 32: 0.3}, 16),
        (1, {1: 0.1, 2: 0.3}, 1),
    ],
)
def test_a_size_from_an_earlier_process_is_measured_again_and_goes_down_where_it_costs_time(
    kept: int, seconds: dict[int, float], expected: int
):
    written: list[int] = []
    size = BatchSize(CARD, 64 * SAMPLE, kept, written.append, is_kept=True)
    made = feed(size, 64, seconds)
    assert (size.samples, made[-1], [kept, *written][-1]) == (expected, expected, expected)


def test_more_calls_are_timed_where_the_fastest_do_not_agree():
    """Other programs disturb the first ones of the larger calls, which then seem slower than smaller ones."""
    size = BatchSize(CARD, 8 * SAMPLE, 4, [].append)
    disturbed = iter([0.9, 0.7, 0.5])
    for _ in range(2 * COMPARED_CALLS):
        samples = size.choose(8 * SAMPLE) // SAMPLE
        size.took(samples * SAMPLE, samples, next(disturbed, 0.3) if samples == 8 else 0.2)
    assert size.samples == 8


@pytest.mark.parametrize("busy", [{4: 0.1, 8: 0.2}, {4: 1.1 * LONG_SECONDS}])
@pytest.mark.parametrize(("larger", "expected"), [(0.11, 8), (0.25, 2)])
def test_a_size_that_was_chosen_in_a_busy_moment_is_compared_again(
    busy: dict[int, float], larger: float, expected: int
):
    """At first calls of eight save nothing, or those of four take long; later eight save time, or four cost time."""
    size = BatchSize(CARD, 8 * SAMPLE, 4, [].append)
    feed(size, 16, busy, AGAIN_AFTER)
    assert size.samples == 4
    made = feed(size, 16, {1: 0.06, 2: 0.08, 4: larger, 8: 1.5 * larger}, AGAIN_AFTER)
    assert (size.samples, made[-1]) == (expected, expected)
    assert set(feed(size, 16, {expected: 0.1}, AGAIN_AFTER)) == {expected}


@pytest.mark.parametrize(("part", "expected"), [(0.95, 8), (1.02, 4)])
def test_a_difference_of_few_per_cent_is_found_on_a_busy_machine(part: float, expected: int):
    """Calls take a twentieth longer on average than on an idle machine, and one in ten takes twice as long."""
    chosen = Counter[int]()
    for seed in range(100):
        random, size = Random(seed), BatchSize(CARD, 8 * SAMPLE, 4, [].append)
        for _ in range(2 * COMPARED_CALLS):
            samples = size.choose(8 * SAMPLE) // SAMPLE
            disturbed = (1 + abs(random.gauss(0, 0.06))) * (2 if random.random() < 0.1 else 1)
            size.took(samples * SAMPLE, samples, 0.01 * samples * disturbed * (part if samples == 8 else 1))
        chosen[size.samples] += 1
    assert chosen[expected] >= 90


def test_sizes_whose_calls_never_agree_are_compared_with_their_neighbours():
    size = BatchSize(CARD, 8 * SAMPLE, 4, [].append)
    for call in range(2 * COMPARED_CALLS):
        assert size.samples == 4
        samples = size.choose(8 * SAMPLE) // SAMPLE
        size.took(samples * SAMPLE, samples, 0.1 * samples * 0.9**call)
    assert size.samples == 8


def test_a_start_times_more_steps_where_the_fastest_do_not_agree(monkeypatch: pytest.MonkeyPatch):
    """Steps of one sample take 0.1 s, of two 0.15 s, and the first ones more, as other programs disturb them."""
    seconds, steps = [0.0], list[int]()
    monkeypatch.setattr(batch_size, "time", SimpleNamespace(perf_counter=lambda: seconds[0]))

    def paint(request: GenerationRequest) -> Generator[None]:
        yield
        for number, step in enumerate([0.9, 0.8, 0.7, 0.0, 0.0]):
            seconds[0] += (0.1, 0.15)[request.num_images_per_prompt - 1] + step / 2
            steps.append(number)
            yield

    assert best_batch(CARD, 2 * SAMPLE, paint) == 2
    assert steps == [0, 1, 2, 3, 4] * 2


def test_requests_that_are_larger_than_a_call_are_no_measurement():
    size = BatchSize(CARD, 64 * SAMPLE, 1, [].append)
    for _ in range(10):
        size.choose(2 * SAMPLE)
        size.took(2 * SAMPLE, 4, 0.1)
    assert size.samples == 1
    feed(size, 4, {1: 0.1, 2: 0.1, 4: 0.5})
    assert size.samples == 2


def test_a_size_that_does_not_fit_goes_down_and_is_not_tried_again():
    written: list[int] = []
    size = BatchSize(CARD, 64 * SAMPLE, 4, written.append)
    feed(size, 16, {4: 0.1, 8: 0.1, 16: 0.1}, calls=12)
    assert size.samples == 16
    size.ran_out(8 * SAMPLE)
    assert (size.samples, size.room, written[-1]) == (8, 8 * SAMPLE, 8)
    assert set(feed(size, 16, {8: 0.1})) == {8}
    size.ran_out(0)
    assert (size.samples, size.room, written[-1]) == (1, SAMPLE, 1)


def test_there_is_room_for_the_next_size_and_never_for_more_than_fits():
    size = BatchSize(CARD, 24 * SAMPLE, 1, [].append)
    assert (size.together, size.room) == (2 * SAMPLE, FIRST_BATCH * SAMPLE)
    feed(size, 24, dict.fromkeys((1, 2, 4, 8, 16), 0.1))
    assert (size.samples, size.together, size.room) == (16, 16 * SAMPLE, 24 * SAMPLE)


def test_a_given_number_stays():
    size = BatchSize(CARD, 3 * SAMPLE, 2)
    feed(size, 3, {2: 0.1, 3: 0.1})
    assert (size.samples, size.together, size.room) == (2, 2 * SAMPLE, 3 * SAMPLE)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time that the generator reads."""
    seconds = [0.0]
    monkeypatch.setattr(generator, "time", SimpleNamespace(perf_counter=lambda: seconds[0]))
    return seconds


def load(folder: Path, file: Path, clock: list[float], **options) -> tuple[DiffusionGenerator, list[int]]:
    """A painter on a device where a call takes as long whatever it holds; and the rows of its calls."""
    card = ModelCard.read("tiny", str(folder), width=SIDE, height=SIDE)
    painter, rows = DiffusionGenerator.load(card, device="cpu", measured=Measured(file), **options), []

    def hook(_, args):
        rows.append(len(args[0]))
        clock[0] += 0.01

    painter._pipelines.loaded.unet.register_forward_pre_hook(hook)
    return painter, rows


def paint(painter: DiffusionGenerator, count: int) -> list[Finished]:
    """Paint so many requests of nine steps, each admitted as soon as there is room."""
    coming = [tiny_request(seed=seed, num_inference_steps=9) for seed in range(count)]
    left: list[Finished] = []
    while len(left) < count:
        while coming and coming[-1].pixels <= painter.capacity():
            request = coming.pop()
            painter.admit(str(request.seed), request)
        left += [event for event in painter.step() if isinstance(event, Finished)]
    return left


def test_real_traffic_makes_calls_larger_and_the_next_start_begins_there(
    tiny: Path, tmp_path: Path, clock: list[float], monkeypatch: pytest.MonkeyPatch
):
    file = tmp_path / "cache" / "measured.json"
    monkeypatch.setattr(batch_size, "best_batch", lambda *_: 2)
    painter, rows = load(tiny, file, clock)
    left = paint(painter, 24)
    assert max(rows) == 2 * 16  # each is guided, so it takes two rows
    for event in left[::8]:
        want = stock_images(tiny, tiny_request(seed=event.seeds[0], num_inference_steps=9))
        assert np.abs(np.asarray(event.images[0], int) - want[0]).max() <= 2
    (kept,) = json.loads(file.read_text())["batch"].values()
    assert kept == painter._batch.samples >= 8
    assert stat.S_IMODE(file.stat().st_mode) == 0o600

    monkeypatch.setattr(batch_size, "best_batch", lambda *_: pytest.fail("it is known"))
    again, rows = load(tiny, file, clock)
    assert again.capacity() >= kept * SIDE**2
    paint(again, 24)
    assert max(rows[:2]) == 2 * kept  # half as many are tried too


@pytest.mark.slow
def test_a_size_that_runs_out_of_memory_is_not_begun_with_again(tiny: Path, tmp_path: Path, clock: list[float]):
    file = tmp_path / "measured.json"
    load(tiny, file, clock)
    (key,) = json.loads(file.read_text())["batch"]
    Measured(file).put("batch", key, 16)
    painter, _ = load(tiny, file, clock)

    def full(_, args):
        if len(args[0]) > 10:
            raise torch.OutOfMemoryError("out of memory")

    painter._pipelines.loaded.unet.register_forward_pre_hook(full)
    assert len(paint(painter, 24)) == 24
    assert painter._batch.samples == Measured(file).get("batch", key) == 4


@pytest.mark.slow
def test_a_number_in_the_settings_is_the_most(tiny: Path, tmp_path: Path, clock: list[float]):
    painter, rows = load(tiny, tmp_path / "measured.json", clock, max_batch=3)
    paint(painter, 12)
    assert max(rows) == 6
    (kept,) = json.loads((tmp_path / "measured.json").read_text())["batch"].items()
    assert (kept[0].endswith("at most 3"), kept[1]) == (True, painter._batch.samples)


@pytest.mark.parametrize(
    "text",
    [
        "{",
        '{"batch": {"k": -1}}',
        *(pytest.param(text, marks=pytest.mark.slow) for text in ("[]", '{"batch": 3}', '{"batch": {"k": "8"}}', "\0")),
    ],
)
def test_a_broken_file_counts_as_empty_and_is_written_again(
    tiny: Path, tmp_path: Path, clock: list[float], text: str, monkeypatch: pytest.MonkeyPatch
):
    file = tmp_path / "measured.json"
    load(tiny, file, clock)
    (key,) = json.loads(file.read_text())["batch"]
    file.write_text(text.replace('"k"', json.dumps(key)))
    monkeypatch.setattr(batch_size, "best_batch", lambda *_: 2)
    painter, _ = load(tiny, file, clock)
    assert painter._batch.samples == 2
    written = json.loads(file.read_text())
    assert written["batch"] == {key: 2}
    assert set(written) <= {"batch", "memory"}


def test_a_file_that_cannot_be_written_costs_nothing(tmp_path: Path):
    (tmp_path / "file").write_text("")
    measured = Measured(tmp_path / "file" / "measured.json")
    measured.put("batch", "a", 3)
    assert measured.get("batch", "a") == 3


def test_two_processes_keep_what_the_other_learned(tmp_path: Path):
    one, other = Measured(tmp_path / "measured.json"), Measured(tmp_path / "measured.json")
    one.put("batch", "a", 1)
    other.put("batch", "b", 2)
    one.put("batch", "c", 3)
    assert [other.get("batch", key) for key in "abc"] == [1, 2, 3]


def test_what_many_write_at_the_same_moment_is_all_kept(tmp_path: Path):
    def write(who: str) -> None:
        measured = Measured(tmp_path / "measured.json")
        for number in range(10):
            measured.put(who, str(number), number)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, "abcdefgh"))
    kept = json.loads((tmp_path / "measured.json").read_text())
    assert {who: len(values) for who, values in kept.items()} == dict.fromkeys("abcdefgh", 10)


def test_the_executor_hands_on_what_was_learned(tiny: Path, tmp_path: Path):
    card = ModelCard.read("tiny", str(tiny), width=SIDE, height=SIDE)
    executor = Executor({"tiny": card}, device="cpu", measured=Measured(tmp_path / "measured.json"))
    assert executor.capacity("tiny") == FIRST_BATCH * SIDE**2
    executor.admit("a", tiny_request())
    assert list(json.loads((tmp_path / "measured.json").read_text())) == ["memory", "batch"]


def test_what_a_full_folder_does_not_take_is_known_in_memory_until_it_can_be_written(tmp_path: Path):
    file = tmp_path / "measured.json"
    measured, lock = Measured(file), tmp_path / "measured.json.lock"
    measured.put("batch", "old", 2)
    lock.unlink(missing_ok=True)
    lock.mkdir()  # so that nothing more is written
    measured.put("batch", "new", 4)
    assert (measured.get("batch", "old"), measured.get("batch", "new")) == (2, 4)
    assert Measured(file).get("batch", "new") is None
    lock.rmdir()
    measured.put("formats", "third", 8)
    assert Measured(file).all("batch") == {"old": 2, "new": 4}
