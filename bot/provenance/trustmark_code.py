"""The names of TrustMark's networks, and the code of its 100 bits, which holds 64 and puts four wrong ones right.

BCH code over GF(2^7), shortened to 72 + 28 bits, as TrustMark's encoding BCH_4 has it: 68 bits of data, 28 bits of the
code, 4 bits that name the encoding (https://arxiv.org/abs/2311.18297; Lin and Costello, Error Control Coding, ch. 6).
"""

from __future__ import annotations

from collections.abc import Sequence

ENCODER, DECODER = "encoder_Q.onnx", "decoder_Q.onnx"
"""The files, as Adobe publishes them."""
BITS = 100
"""Bits of a mark."""
_NUMBER, _DATA, _CHECK, _VERSION = 64, 68, 28, 0b0010
_PADDED = 72
"""Bits of data with those that fill the last byte, which the code counts too."""
_WRONG = 4
_ORDER, _POLYNOMIAL = 127, 0b10001001
_POWERS = [1]
while len(_POWERS) < _ORDER:
    _POWERS.append(_POWERS[-1] << 1 ^ (_POLYNOMIAL if _POWERS[-1] & 64 else 0))
_LOGARITHMS = {value: exponent for exponent, value in enumerate(_POWERS)}


def trustmark_bits(number: int) -> list[int]:
    """The bits of a number of 64 bits with a sign."""
    data = (number % 2**_NUMBER) << (_DATA - _NUMBER)
    check = _remainder(data << (_PADDED - _DATA) << _CHECK)
    return _bits((data << _CHECK | check) << 4 | _VERSION, BITS)


def trustmark_number(bits: Sequence[int]) -> int | None:
    """The number in the bits, of which four may be wrong; None if more are.

    Of a thousand sequences of random bits one has a number too, so a number counts only where it is known.
    """
    value = int("".join(map(str, bits)), 2) >> 4
    data, check = value >> _CHECK, value & (2**_CHECK - 1)
    received = data << (_PADDED - _DATA + _CHECK) | check
    places = _wrong_places(received)
    if places is None:
        return None
    for place in places:
        received ^= 1 << place
    number, rest = divmod(received >> _CHECK, 2 ** (_PADDED - _NUMBER))
    if rest:
        return None
    return number - 2**_NUMBER if number >= 2 ** (_NUMBER - 1) else number


def _times(one: int, other: int) -> int:
    return _POWERS[(_LOGARITHMS[one] + _LOGARITHMS[other]) % _ORDER] if one and other else 0


def _generator() -> int:
    """The product of the minimal polynomials of the first odd powers of the field's generator, as bits."""
    product: list[int] = [1]
    for root in {(power << twice) % _ORDER for power in range(1, 2 * _WRONG, 2) for twice in range(7)}:
        shifted = [0, *product]
        product = [a ^ _times(b, _POWERS[root]) for a, b in zip(shifted, [*product, 0], strict=True)]
    return sum(bit << place for place, bit in enumerate(product))


_GENERATOR = _generator()


def _remainder(value: int) -> int:
    while (excess := value.bit_length() - _GENERATOR.bit_length()) >= 0:
        value ^= _GENERATOR << excess
    return value


def _wrong_places(received: int) -> list[int] | None:
    """Which bits are wrong, by the Berlekamp-Massey algorithm and a search of all places; None if too many are."""
    ones = [place for place in range(_PADDED + _CHECK) if received >> place & 1]
    syndromes = [0] * (2 * _WRONG)
    for power in range(2 * _WRONG):
        for place in ones:
            syndromes[power] ^= _POWERS[(power + 1) * place % _ORDER]
    locator = _locator(syndromes)
    places = [place for place in range(_PADDED + _CHECK) if not _at(locator, -place)]
    return places if len(places) == len(locator) - 1 <= _WRONG else None


def _locator(syndromes: Sequence[int]) -> list[int]:
    """The shortest recurrence of the syndromes, as a polynomial from its constant on."""
    found, before, length, since, factor = [1], [1], 0, 1, 1
    for at, syndrome in enumerate(syndromes):
        off = syndrome
        for back in range(1, min(length, len(found) - 1) + 1):
            off ^= _times(found[back], syndromes[at - back])
        if not off:
            since += 1
            continue
        scale = _POWERS[(_LOGARITHMS[off] - _LOGARITHMS[factor]) % _ORDER]
        change = [0] * since + [_times(scale, one) for one in before]
        size = max(len(found), len(change))
        changed = [a ^ b for a, b in zip(_long(found, size), _long(change, size), strict=True)]
        if 2 * length <= at:
            before, length, factor, since = found, at + 1 - length, off, 1
        else:
            since += 1
        found = changed
    while len(found) > 1 and not found[-1]:
        found.pop()
    return found


def _at(polynomial: Sequence[int], power: int) -> int:
    value = 0
    for degree, one in enumerate(polynomial):
        value ^= _times(one, _POWERS[degree * power % _ORDER])
    return value


def _long(values: Sequence[int], size: int) -> list[int]:
    return [*values, *[0] * (size - len(values))]


def _bits(value: int, size: int) -> list[int]:
    return [value >> place & 1 for place in reversed(range(size))]
