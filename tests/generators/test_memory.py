# pyright: basic, reportPrivateImportUsage=false, reportArgumentType=false, reportAttributeAccessIssue=false
# pyright: reportOptionalMemberAccess=false
# diffusers' annotations are too loose, and sometimes wrong, for more

import json
import mmap
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from limner.generators.base import Finished
from limner.generators.cards.model_card import ModelCard
from limner.generators.diffusion.memory import GIB, HEADROOM, Budget, Cost, budget
from limner.generators.diffusion.meters import _container_room, meter_of
from limner.generators.errors import BadRequest, DeviceLost, ModelFailed, OutOfMemory, TooLarge
from limner.generators.executor import Executor
from limner.generators.failures import understand
from limner.generators.measured import Measured
from limner.generators.requests import GenerationRequest
from tests.generators.test_diffusion import stock_images
from tests.tiny_models import tiny_request

CPU = torch.device("cpu")
DOODLE = Path(__file__).parents[2] / "generators" / "pretrained" / "doodle"
SHORT_OF_MEMORY = """
import logging, resource, sys
from pathlib import Path
import numpy as np, torch
from limner.generators.base import Failed, Finished
from limner.generators.diffusion.generator import DiffusionGenerator
from limner.generators.base import Finished
from limner.generators.cards.model_card import ModelCard
from tests.generators.test_memory import drawing

torch.set_num_threads(1)
logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stdout)
generator = DiffusionGenerator.load(ModelCard.read("m", sys.argv[1]), device="cpu", max_batch=64)
size = next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith("VmSize"))
resource.setrlimit(resource.RLIMIT_AS, (size + 60 * 2**20, resource.RLIM_INFINITY))
for seed in range(8):
    generator.admit(str(seed), drawing(seed=seed))
generator.admit("hopeless", drawing(width=768, height=768))
left = {}
while len(left) < 9:
    left |= {event.key: event for event in generator.step() if isinstance(event, Failed | Finished)}
resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
print("hopeless", left.pop("hopeless").error)
np.savez(sys.argv[2], **{key: np.asarray(event.images[0]) for key, event in left.items()})
"""
CARD = ModelCard(name="m", source="m", width=1024, height=512, multiple_of=64)

needs_linux = pytest.mark.skipif(meter_of(CPU) is None, reason="only Linux tells a process its peak")


def taking(step: int, decoding: int, fixed: int = 0, seen: list[GenerationRequest] | None = None):
    """Paints like a model that takes so many bytes a pixel for a step and for decoding; all of it is really written."""

    def paint(request: GenerationRequest) -> Iterator[None]:
        if seen is not None:
            seen.append(request)
        for per_pixel in (step, decoding):
            # in pages of their own: the heap may have gaps that earlier tests have left
            torch.frombuffer(mmap.mmap(-1, fixed + per_pixel * request.pixels), dtype=torch.uint8).fill_(1)
            yield

    return paint


@needs_linux
def test_what_painting_takes_is_seen_on_the_device():
    seen: list[GenerationRequest] = []
    found = budget(CPU, CARD, 7, taking(step=400, decoding=700, fixed=2**23, seen=seen), Measured(), "m")
    assert found.denoising.per_pixel == pytest.approx(400, rel=0.1)
    assert found.painting.per_pixel == pytest.approx(700, rel=0.1)
    assert found.painting.fixed == pytest.approx(2**23, rel=0.3)
    assert found.releasable == 7
    free = meter_of(CPU).free()
    assert found.pixels == pytest.approx(free * (1 - HEADROOM) / 700, rel=0.2)
    sizes = [(each.width, each.height, each.num_images_per_prompt) for each in seen]
    assert sizes == [(128, 64, 1), (256, 128, 1), (256, 128, 2)]


@needs_linux
def test_what_painting_takes_is_kept_and_what_is_free_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    seen: list[GenerationRequest] = []
    file, paint = tmp_path / "measured.json", taking(step=400, decoding=700, seen=seen)

    first = budget(CPU, CARD, 7, paint, Measured(file), "m")
    monkeypatch.setattr(type(meter_of(CPU)), "free", lambda _meter: float(GIB))
    later = budget(CPU, CARD, 8, paint, Measured(file), "m")

    assert len(seen) == 3  # at the first time only
    assert (later.painting, later.denoising) == (first.painting, first.denoising)
    assert (later.free, later.releasable) == (GIB * (1 - HEADROOM), 8)
    budget(CPU, CARD, 7, paint, Measured(file), "another")
    assert len(seen) == 6


@needs_linux
@pytest.mark.parametrize("kept", ["x", [], [[1, 2]], [[0, 1], [0, 0]], [[0, 1], ["nan", 1]], [[-1, 1], [0, 1]], 7])
def test_damaged_figures_are_measured_again(kept: Any):
    seen: list[GenerationRequest] = []
    measured = Measured()
    measured.put("memory", "m", kept)
    assert budget(CPU, CARD, 0, taking(step=4, decoding=7, seen=seen), measured, "m")
    assert seen
    assert measured.get("memory", "m") != kept


@needs_linux
def test_a_model_that_cannot_even_paint_two_is_not_measured():
    def paint(request: GenerationRequest) -> Iterator[None]:
        yield
        if request.num_images_per_prompt == 2:
            raise OutOfMemory

    measured = Measured()
    assert budget(CPU, CARD, 0, paint, measured, "m") is None
    assert measured.get("memory", "m") is None


def test_pixels_are_never_free_however_noisy_the_measurement():
    cost = Cost.fit(1000, once=4000, twice=4000)
    assert cost.per_pixel == 1
    assert cost.of(2000) == 4000
    assert Cost.fit(1000, once=0, twice=0).per_pixel > 0


def test_what_can_never_fit_is_refused_and_told_how_far_off_it_is():
    room = Budget(free=1.5 * GIB, releasable=GIB // 2, painting=Cost(0, 9000), denoising=Cost(GIB, 2048))
    assert room.pixels == int(1.5 * GIB / 9000)
    room.check(tiny_request(width=1024, height=1024, num_images_per_prompt=4))  # one after the other, in tiles
    with pytest.raises(BadRequest) as refused:
        room.check(tiny_request(width=2048, height=1024))
    assert str(refused.value) == (
        "A picture of 2048x1024 needs about 3.0 GiB of memory and this device has 2.0 GiB; ask for a smaller one."
    )
    assert Budget(free=1, releasable=0, painting=Cost(2, 1), denoising=Cost(0, 1)).pixels == 0


def test_a_container_has_the_room_that_its_limit_leaves(tmp_path: Path):
    assert _container_room(tmp_path) == float("inf")
    (tmp_path / "memory.current").write_text("600\n")
    (tmp_path / "memory.stat").write_text("anon 100\ninactive_file 50\n")
    (tmp_path / "memory.max").write_text("max\n")
    assert _container_room(tmp_path) == float("inf")
    (tmp_path / "memory.max").write_text("1000\n")
    assert _container_room(tmp_path) == 450


@pytest.mark.parametrize(
    "text",
    [
        "CUDA error: out of memory\nCompile with TORCH_USE_CUDA_DSA",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate(handle)",
        "std::bad_alloc",
        "could not create a primitive",  # what oneDNN says under `ulimit -v`
    ],
)
def test_out_of_memory_in_other_words(text: str):
    kind = torch.AcceleratorError if "out of memory" in text else RuntimeError
    assert isinstance(understand(kind(text)), OutOfMemory)


def test_the_cpu_s_own_allocator_running_out_is_out_of_memory():
    with pytest.raises(RuntimeError) as raised:
        torch.empty(2**60)
    assert isinstance(understand(raised.value), OutOfMemory)


@pytest.mark.parametrize(
    "error",
    [
        torch.AcceleratorError("CUDA error: unspecified launch failure"),
        torch.AcceleratorError("CUDA error: device-side assert triggered"),
        RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling cublasGemmEx"),
        RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
        DeviceLost(),
    ],
    ids=str,
)
def test_a_lost_device_is_nobody_s_fault(error: Exception):
    with pytest.raises(DeviceLost):
        understand(error)


def test_what_nobody_foresaw_is_logged_without_its_text(caplog: pytest.LogCaptureFixture):
    assert type(understand(RuntimeError("a red cat"))) is ModelFailed
    assert "RuntimeError" in caplog.text
    assert "cat" not in caplog.text


def drawing(**changes: Any) -> GenerationRequest:
    usual = {"width": 128, "height": 128, "num_inference_steps": 2, "guidance_scale": 4.0}
    return tiny_request(**{**usual, **changes})


@needs_linux
def test_a_model_larger_than_the_memory_is_refused_before_it_is_read_and_others_paint(tiny: Path, tmp_path: Path):
    large = shutil.copytree(tiny, tmp_path / "large")
    (weights,) = (large / "unet").glob("*.safetensors")
    declare(weights, 5 * 10**11)
    small = shutil.copytree(tiny, tmp_path / "small")
    (small / "unet_of_before").mkdir()  # no part of the model
    declare(small / "unet_of_before" / weights.name, 5 * 10**11)
    cards = {name: ModelCard.read(name, str(source)) for name, source in (("large", large), ("small", small))}
    executor = Executor(cards, device="cpu")
    with pytest.raises(TooLarge, match=r"^This model takes 2000\.\d GB of memory, and \d+\.\d GB are free here; "):
        executor.admit("a", tiny_request(model="large"))
    executor.admit("b", tiny_request(model="small"))
    while executor.in_flight == {"b"}:
        events = executor.step()
    assert [type(event) for event in events if event.key == "b"][-1] is Finished


def declare(file: Path, numbers: int) -> None:
    """Write a safetensors file that says it holds so many numbers of 16 bits, of which the disk holds none."""
    tensors = {"weight": {"dtype": "F16", "shape": [numbers], "data_offsets": [0, 2 * numbers]}}
    header = json.dumps(tensors).encode()
    file.write_bytes(struct.pack("<Q", len(header)) + header)
    os.truncate(file, 8 + len(header) + 2 * numbers)


@pytest.mark.slow
@needs_linux
@pytest.mark.timeout(600)
def test_when_the_memory_really_runs_out_only_the_hopeless_fail(tmp_path: Path):
    painted = tmp_path / "painted.npz"
    command = [sys.executable, "-c", SHORT_OF_MEMORY, str(DOODLE), str(painted)]
    done = subprocess.run(command, cwd=DOODLE.parents[2], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert f"hopeless {OutOfMemory()}" in done.stdout
    assert "memory_short then=smaller_calls" in done.stdout
    images = np.load(painted)
    for seed in range(8):
        (expected,) = stock_images(DOODLE, drawing(seed=seed))
        assert np.abs(images[str(seed)].astype(int) - expected).max() <= 2
