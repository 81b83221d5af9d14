"""The code of the mark's 64 bits: a convolutional code whose ends meet, read by the Viterbi algorithm.

Rate 1/2, constraint length 7, generators 171 and 133 (octal), as in IEEE 802.11 and CCSDS 131.0-B; tail-biting.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BITS = 64
CODED = 2 * BITS
_GENERATORS = (0o171, 0o133)
_MEMORY = 6
_STATES = 2**_MEMORY

Floats = NDArray[np.float64]


def coded(number: int) -> Floats:
    """The code of a number of 64 bits with a sign, as 128 signs: 1 for a zero, -1 for a one."""
    bits = [number >> place & 1 for place in reversed(range(BITS))]
    signs: list[int] = []
    for at in range(BITS):
        register = sum(bits[(at - back) % BITS] << (_MEMORY - back) for back in range(_MEMORY + 1))
        signs += [_sign(register, generator) for generator in _GENERATORS]
    return np.array(signs, float)


class CodeReader:
    """Finds the numbers whose codes are most like what was received."""

    def __init__(self) -> None:
        self._before = np.zeros((_STATES, 2), int)
        self._signs = np.zeros((_STATES, 2, 2))
        for state in range(_STATES):
            newest, older = state >> (_MEMORY - 1), (state << 1) & (_STATES - 1)
            for oldest in (0, 1):
                register = newest << _MEMORY | older | oldest
                self._before[state, oldest] = older | oldest
                self._signs[state, oldest] = [_sign(register, generator) for generator in _GENERATORS]

    def numbers(self, received: Floats) -> list[int]:
        """The number of each row of 128 values: their signs are those of its code, their sizes say how sure they are.

        What was received goes through three times, so that the path in the middle begins in the state in which it ends.
        """
        rows = np.arange(len(received))
        metric, choices = np.zeros((len(received), _STATES)), list[NDArray[np.intp]]()
        for pair in np.tile(received, 3).reshape(len(received), -1, 2).swapaxes(0, 1):
            both = metric[:, self._before] + np.tensordot(pair, self._signs, (1, 2))
            choices.append(both.argmax(axis=2))
            metric = both.max(axis=2)
        states, numbers = metric.argmax(axis=1), [0] * len(received)
        for at in reversed(range(len(choices))):
            if BITS <= at < 2 * BITS:
                place = 2 * BITS - 1 - at
                numbers = [
                    number | int(state) >> (_MEMORY - 1) << place for number, state in zip(numbers, states, strict=True)
                ]
            states = self._before[states, choices[at][rows, states]]
        return [number - 2**BITS if number >= 2 ** (BITS - 1) else number for number in numbers]


def _sign(register: int, generator: int) -> int:
    return 1 - 2 * ((register & generator).bit_count() & 1)
