"""The errors of generators; the docstring of each is its sentence."""

from __future__ import annotations

import math
import traceback
from pathlib import Path
from typing import ClassVar, Self

from limner.generators.requests import GenerationRequest
from limner.generators.sentences import sentence

TOO_LATE = sentence("That picture has taken its last step, so nothing of it can be changed any more; use Remix.")
CANNOT_CHANGE = sentence("This model takes no other words while it paints and cannot stop early; cancel and ask again.")
WITH_LORA = sentence("With the LoRA {lora} this model computes values that are not numbers; ask again without it.")
WITH_REFERENCES = sentence(
    "With these references this model computes values that are not numbers; ask again without them. The operator can "
    "copy the files of its adapters and ControlNets again, as they may be damaged."
)
IN_PRECISION = sentence(
    "The model {model} computes values that are not numbers in {precision}; choose another model. The operator can set "
    "`dtype` to {finer}."
)
DAMAGED = sentence(
    "The model {model} computes values that are not numbers in {precision}; choose another model. The operator can "
    "save its files again, as they may be damaged."
)


class GenerationError(Exception):
    """This picture could not be finished."""

    retryable: ClassVar[bool] = True
    """Whether another attempt may end otherwise; what fails the same way each time is tried once."""
    most_attempts: ClassVar[float] = math.inf
    """How many attempts are worth their time; the operator may allow fewer."""
    costs_attempt: ClassVar[bool] = True
    """Whether it counts as an attempt of the request."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or type(self).__doc__)


class OutOfMemory(GenerationError):
    """The picture does not fit into the device's memory; ask for a smaller one or for fewer."""


class ModelFailed(GenerationError):
    """The model failed on this request; change its size, steps or model. The operator finds the reason in the log."""

    most_attempts = 2


class BrokenImage(GenerationError):
    """What came is not a picture; ask again in a moment."""


class NotNumbers(GenerationError):
    """The model computes values that are not numbers for this request; choose another model."""

    retryable = False

    @classmethod
    def blaming(cls, request: GenerationRequest, precision: str) -> Self:
        """The error with a sentence that names the cause: the LoRAs in use, or else the references, or the model.

        Args:
            request: the failed request.
            precision: the number format of the weights, such as float16.
        """
        if request.loras:
            which = " and ".join(name for name, _ in request.loras)
            return cls(WITH_LORA.format(lora=which))
        if request.references:
            return cls(WITH_REFERENCES)
        finer = {"float16": "bfloat16 or float32", "bfloat16": "float32"}.get(precision)
        text = IN_PRECISION if finer else DAMAGED
        return cls(text.format(model=request.model, precision=precision, finer=finer))


class BadRequest(GenerationError):
    """The model cannot paint this request; change its size, steps or model."""

    retryable = False


class NoNegative(BadRequest):
    """This model cannot leave things out; ask again without a negative prompt."""


class NoLora(BadRequest):
    """This model takes no LoRA; ask again without one."""


class DeviceLost(GenerationError):
    """The device stopped answering; the request is painted again when it is back."""


class ServersDown(GenerationError):
    """No server of this model can be reached; the request waits for one."""

    costs_attempt = False


class ModelNotFound(GenerationError):
    """The model is not on this machine; the operator can see why with `limner doctor`."""

    retryable = False


class TooLarge(ModelNotFound):
    """This model does not fit into the memory of this machine; choose a smaller one."""


class DamagedModel(ModelNotFound):
    """The files of this model are damaged; the operator must replace them."""


def error_site(error: BaseException) -> str:
    """An error's type and code location for a log; never its text, which may quote a prompt or a path.

    A chained error names the first one.
    """
    first = first_cause(error)
    frames = traceback.extract_tb(first.__traceback__)
    raised = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return type(first).__name__ + raised


def first_cause(error: BaseException) -> BaseException:
    """The error at the beginning of a chain of causes, which may lead back to itself (``raise error from error``)."""
    chain = [error]
    while (cause := chain[-1].__cause__) is not None and cause not in chain:
        chain.append(cause)
    return chain[-1]
