from pathlib import Path

import pytest

from generators.base import ModelCard
from generators.diffusion import DiffusionGenerator
from tests.tiny_models import build_tiny_pipeline, build_tiny_xl_pipeline


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny Stable Diffusion pipeline."""
    return build_tiny_pipeline(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def tiny_xl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny SDXL-shaped pipeline."""
    return build_tiny_xl_pipeline(tmp_path_factory.mktemp("tiny_xl"))


@pytest.fixture
def tiny_generator(tiny: Path) -> DiffusionGenerator:
    return DiffusionGenerator.load(ModelCard.read("tiny", str(tiny)), device="cpu")


@pytest.fixture
def tiny_xl_generator(tiny_xl: Path) -> DiffusionGenerator:
    return DiffusionGenerator.load(ModelCard.read("tiny_xl", str(tiny_xl)), device="cpu")
