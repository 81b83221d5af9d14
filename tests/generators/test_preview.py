# pyright: basic, reportPrivateImportUsage=false, reportArgumentType=false, reportCallIssue=false
# diffusers' annotations are too loose, and sometimes wrong, for more

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, DiffusionPipeline, EulerDiscreteScheduler, FlowMatchEulerDiscreteScheduler
from PIL import Image

from limner.generators.diffusion.preview import Previewer, Watch, denoised
from limner.generators.requests import GenerationRequest
from tests.generators.test_diffusion import DOODLE
from tests.tiny_models import tiny_request


@pytest.fixture(scope="module")
def doodle() -> DiffusionPipeline:
    pipe = DiffusionPipeline.from_pretrained(DOODLE, dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def likeness(one: Image.Image, other: Image.Image) -> float:
    """The correlation of two pictures' pixels: 1 for the same, 0 for unrelated ones."""
    pictures = [np.asarray(each.resize((64, 64)), dtype=float).ravel() for each in (one, other)]
    return np.corrcoef(pictures)[0, 1]


def drawing(**changes: Any) -> GenerationRequest:
    return tiny_request(width=128, height=128, **changes)


@pytest.mark.slow
def test_half_way_a_preview_of_the_shipped_model_looks_like_its_picture(doodle: DiffusionPipeline):
    own, previewer, previews = doodle.scheduler, Previewer(doodle, every=0), []

    def peek(pipe, step, time, tensors):
        if step == 7:
            previews.append(previewer.paint(watch.denoised(), drawing()))
        return {}

    for seed, prompt in enumerate(["a red apple", "a blue house"]):
        doodle.scheduler = type(own).from_config(own.config)
        watch = Watch(doodle.scheduler)
        assert watch.denoised() is None
        image = doodle(
            prompt,
            num_inference_steps=16,
            guidance_scale=4.0,
            generator=torch.Generator().manual_seed(seed),
            callback_on_step_end=peek,
        ).images[0]
        assert previews[-1].size == (128, 128)
        assert likeness(previews[-1], image) > 0.8
    assert likeness(*previews) < 0.6


@pytest.mark.parametrize("channels", [4, pytest.param(16, marks=pytest.mark.slow)])
def test_any_vae_will_do(channels: int, tiny: Path):
    pipe = DiffusionPipeline.from_pretrained(tiny, dtype=torch.float32)
    torch.manual_seed(0)
    pipe.vae = AutoencoderKL.from_config(pipe.vae.config, latent_channels=channels, shift_factor=0.1)
    picture = Previewer(pipe, every=0).paint(torch.randn(1, channels, 8, 16), tiny_request())
    assert picture is not None
    assert picture.size == (128, 64)


def test_several_samples_are_shown_side_by_side(doodle: DiffusionPipeline):
    latents = torch.zeros(3, 8, 16, 16)
    latents[1] = torch.nan
    sheet = np.asarray(Previewer(doodle, every=0).paint(latents, drawing()), dtype=int)
    assert sheet.shape == (128, 128, 3)
    assert np.abs(sheet[:56, :56] - sheet[72:, :56]).max() <= 2
    assert np.abs(sheet[:56, :56] - sheet[:56, 72:]).max() > 2
    assert sheet[72:, 72:].max() == 0


def test_latents_of_another_kind_end_the_previews(tiny: Path):
    previewer = Previewer(DiffusionPipeline.from_pretrained(tiny, dtype=torch.float32), every=0)
    watch = Watch(EulerDiscreteScheduler())
    assert previewer.paint(torch.zeros(1, 3, 8, 8), tiny_request()) is None
    watch.denoised = lambda: torch.zeros(1, 4, 8, 8)
    assert previewer.look(watch) is None


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "sample"])
def test_what_the_denoiser_believes_in(kind: str):
    scheduler = EulerDiscreteScheduler(prediction_type=kind)
    wanted, epsilon, step = torch.randn(2, 4, 8, 8), torch.randn(2, 4, 8, 8), torch.tensor(500)
    noisy = scheduler.alphas_cumprod[step].sqrt() * wanted + (1 - scheduler.alphas_cumprod[step]).sqrt() * epsilon
    velocity = scheduler.alphas_cumprod[step].sqrt() * epsilon - (1 - scheduler.alphas_cumprod[step]).sqrt() * wanted
    answers = {"epsilon": epsilon, "v_prediction": velocity, "sample": wanted}
    torch.testing.assert_close(denoised(scheduler, noisy, answers[kind], step), wanted, atol=1e-4, rtol=0)


def test_what_a_flow_believes_in():
    wanted, noise = torch.randn(1, 4, 8, 8), torch.randn(1, 4, 8, 8)
    noisy = 0.3 * wanted + 0.7 * noise
    found = denoised(FlowMatchEulerDiscreteScheduler(), noisy, noise - wanted, torch.tensor(700.0))
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=0)
