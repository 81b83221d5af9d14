# pyright: basic, reportPrivateUsage=false, reportArgumentType=false
"""Attention by another backend: used where it is quicker, with the same picture; else a log line says why not."""

from pathlib import Path
from typing import Any

import pytest
from diffusers.models.attention_dispatch import AttentionBackendName, _AttentionBackendRegistry

from limner.generators.cards.card_schema import ATTENTION
from limner.generators.cards.model_card import ModelCard
from limner.generators.diffusion.generator import DiffusionGenerator
from limner.generators.measured import Measured
from tests.generators.test_families import assert_stock, paint
from tests.tiny_models import SIDE, build_tiny_flux_pipeline, tiny_request


@pytest.fixture(scope="module")
def flux(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_flux_pipeline(tmp_path_factory.mktemp("models") / "flux")


def load(folder: Path, backend: str, measured: Measured) -> DiffusionGenerator:
    card = ModelCard.read("tiny", str(folder), width=SIDE, height=SIDE, attention=backend)
    return DiffusionGenerator.load(card, device="cpu", max_batch=2, measured=measured)


def backends(generator: DiffusionGenerator) -> set[Any]:
    modules = generator._pipelines.loaded.transformer.modules()
    processors = [module.processor for module in modules if hasattr(module, "processor")]
    return {one._attention_backend and one._attention_backend.value for one in processors}


def test_all_of_diffusers_backends_are_known_but_those_that_download_code():
    names = {one.value for one in AttentionBackendName}
    assert set(ATTENTION) == {name for name in names - {"native"} if not name.endswith("_hub")}


@pytest.mark.slow
def test_another_backend_paints_the_stock_picture_and_is_used_if_it_is_quicker(flux: Path):
    measured, usual = Measured(), _AttentionBackendRegistry._active_backend
    load(flux, "_native_math", measured)
    [(key, found)] = measured.all("attention").items()
    assert found["time"] > 0
    for part, expected in ((0.8, {"_native_math"}), (1.2, {None})):
        measured.put("attention", key, {"time": part})
        generator = load(flux, "_native_math", measured)
        assert backends(generator) == expected
        assert _AttentionBackendRegistry._active_backend == usual  # of other models
        assert_stock("flux_dev", flux, tiny_request(), *paint(generator, [(0, tiny_request())]))
    for damaged in (7, {"time": -1}):
        measured.put("attention", key, damaged)
        load(flux, "_native_math", measured)
        assert measured.get("attention", key)["time"] > 0


def test_a_backend_that_cannot_run_here_is_off_and_the_model_paints(
    flux: Path, tiny: Path, caplog: pytest.LogCaptureFixture
):
    for folder, backend, reason in (
        (flux, "flash", "package"),
        (flux, "_native_cudnn", "device"),
        (tiny, "_native_math", "denoiser"),
    ):
        measured = Measured()
        generator = load(folder, backend, measured)
        assert f"attention_not_set model=tiny backend={backend} reason={reason}" in caplog.messages
        assert [*measured.all("attention").values()] == [{"problem": reason}]
        family = "sd1" if folder == tiny else "flux_dev"
        assert_stock(family, folder, tiny_request(), *paint(generator, [(0, tiny_request())]))
