# pyright: basic
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from limner.generators.errors import ModelNotFound
from limner.generators.requests import Finish, GenerationRequest
from limner.generators.vision.postprocess import MARGIN, TILE, Finisher
from tests.tiny_models import tiny_request


def stripes(width: int = 60, height: int = 40) -> Image.Image:
    """Left dark red, right pale blue: no two columns of a half differ."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[:, : width // 2], pixels[:, width // 2 :] = (120, 40, 40), (150, 160, 220)
    return Image.fromarray(pixels)


def test_nothing_asked_changes_nothing():
    image = stripes()
    assert Finisher().finish(image, Finish()).tobytes() == image.tobytes()
    assert Finisher().parameters(Finish()) == {}


@pytest.mark.parametrize(("crop", "size"), [((1, 1), (40, 40)), ((3, 1), (60, 20)), ((1, 8), (5, 40))])
def test_the_middle_is_cut_out(crop: tuple[int, int], size: tuple[int, int]):
    finish = Finish(crop=crop)
    cut = Finisher().finish(stripes(), finish)

    assert cut.size == finish.size(60, 40) == size
    assert cut.getpixel((0, 0)) == (120, 40, 40)
    assert cut.getpixel((size[0] - 1, 0)) == (150, 160, 220)


def test_larger_and_to_a_size():
    finish = Finish(upscale=3)
    assert Finisher().finish(stripes(), finish).size == finish.size(60, 40) == (180, 120)
    finish = Finish(upscale=2, resize=(50, 70))
    assert Finisher().finish(stripes(), finish).size == finish.size(60, 40) == (50, 70)


def test_colour_and_sharpness():
    plain, grey = stripes(), Finisher().finish(stripes(), Finish(colour=0))
    assert len(set(np.asarray(grey)[0, 0].tolist())) == 1
    sharp = np.asarray(Finisher().finish(plain, Finish(sharpness=3)), int)
    assert abs(np.diff(sharp, axis=1)).max() > abs(np.diff(np.asarray(plain, int), axis=1)).max()


def test_all_that_is_done_is_told():
    finish = Finish(crop=(3, 2), upscale=2, resize=(90, 60), colour=1.2, sharpness=0.5)
    assert Finisher().parameters(finish) == {
        "Crop": "3:2",
        "Upscale": "2x Lanczos",
        "Resize": "90x60 Lanczos",
        "Colour": "1.2",
        "Sharpness": "0.5",
    }


def test_a_request_keeps_it_through_json():
    import json

    finish = Finish(crop=(3, 2), upscale=2, resize=(90, 60), colour=1.2)
    request = tiny_request(finish=finish, keep=2, num_images_per_prompt=6)
    again = GenerationRequest.from_json(json.loads(json.dumps(request.to_json())))
    assert again == request
    assert again.count == 2
    assert GenerationRequest.from_json(tiny_request().to_json()).finish is None


class Doubling:
    """An upscaling model that repeats each pixel, and remembers how large its parts were."""

    scale = 2

    def __init__(self) -> None:
        self.parts: list[int] = []

    def __call__(self, pixels):
        self.parts.append(max(pixels.shape[2:]))
        return pixels.repeat_interleave(2, 2).repeat_interleave(2, 3)


def test_an_upscaling_model_sees_parts_and_leaves_no_seams():
    finisher = Finisher("nearest.safetensors")
    finisher._model = model = Doubling()
    random = np.random.default_rng(0).integers(0, 255, (300, 520, 3), np.uint8)

    large = finisher.finish(Image.fromarray(random), Finish(upscale=2))

    assert (np.asarray(large) == random.repeat(2, 0).repeat(2, 1)).all()
    assert max(model.parts) <= TILE + 2 * MARGIN
    assert finisher.parameters(Finish(upscale=2)) == {"Upscale": "2x nearest"}
    assert finisher.finish(Image.fromarray(random), Finish(upscale=3)).size == (1560, 900)


def compact_upscaler(file: Path) -> Path:
    """A tiny Real-ESRGAN of the compact kind (SRVGGNet), twice as large, untrained."""
    random = torch.Generator().manual_seed(0)
    weights: dict[str, torch.Tensor] = {}
    for layer, (count, seen) in {0: (8, 3), 2: (8, 8), 4: (12, 8)}.items():
        weights[f"body.{layer}.weight"] = torch.randn(count, seen, 3, 3, generator=random) / 10
        weights[f"body.{layer}.bias"] = torch.zeros(count)
        if count == 8:
            weights[f"body.{layer + 1}.weight"] = torch.full((count,), 0.1)
    save_file(weights, file)
    return file


def test_a_real_upscaler_in_parts_paints_what_it_would_as_a_whole(tmp_path: Path):
    spandrel = pytest.importorskip("spandrel", reason="needs the extra `upscale`")
    file = compact_upscaler(tmp_path / "compact.safetensors")
    random = np.random.default_rng(0).integers(0, 255, (300, 420, 3), np.uint8)

    large = np.asarray(Finisher(str(file)).finish(Image.fromarray(random), Finish(upscale=2)), int)

    edged = np.pad(random.astype(np.float32) / 255, ((MARGIN, MARGIN), (MARGIN, MARGIN), (0, 0)), mode="edge")
    whole = spandrel.ModelLoader("cpu").load_from_file(file).eval()(torch.from_numpy(edged).permute(2, 0, 1)[None])
    wanted = whole[0].detach().permute(1, 2, 0).clamp(0, 1).numpy()[2 * MARGIN : -2 * MARGIN, 2 * MARGIN : -2 * MARGIN]
    assert abs(large - wanted * 255).max() <= 1
    assert large.std() > 1


@pytest.mark.parametrize("name", ["missing.safetensors", "pickle.pth"])
def test_an_upscaling_model_that_cannot_be_used_is_told_as_such(tmp_path: Path, name: str):
    (tmp_path / "pickle.pth").write_bytes(b"\x80\x04")
    with pytest.raises(ModelNotFound):
        Finisher(str(tmp_path / name)).finish(stripes(), Finish(upscale=2))
