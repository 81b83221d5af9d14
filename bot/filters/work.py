"""The step limit of one check, so that neither a text nor a rule delays others."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

LEAST = 20_000
"""Steps that a check of any text may take."""
A_CHARACTER = 120
"""Steps added by each character of the text; ordinary text takes about ten, the most disguised one a few dozen."""
LONGEST = 8_000
"""Characters that add steps; longer texts get no more."""
_BREATH = 10_000
"""Steps after which a check beside an event loop lets the loop run."""
_BREATH_SECONDS = 0.0001


class TooCostly(Exception):
    """A text takes more steps than one check may."""

    def __init__(self, rule_id: str = "") -> None:
        super().__init__(rule_id)
        #: The rule that took most of them; empty for the text itself.
        self.rule_id = rule_id


class Work:
    """The remaining steps of one check. A step is an estimate of about a tenth of a microsecond.

    ``is_beside_loop`` lets other threads run now and then during a long check.
    """

    __slots__ = ("_breath", "_costs", "_rule_ids", "left", "read")

    def __init__(self, steps: float, *, is_beside_loop: bool = False) -> None:
        self.left = steps
        self._breath = steps - _BREATH if is_beside_loop else float("-inf")
        self._costs: dict[int, float] = {}
        self._rule_ids: Sequence[str] = ()
        #: Pieces of the text that the matcher has already read in this check.
        self.read = set[str]()

    @classmethod
    def of(cls, texts: Iterable[str], *, a_character: int = A_CHARACTER, is_beside_loop: bool = False) -> Work:
        """The step limit for these texts, proportional to their length."""
        return cls(LEAST + a_character * min(sum(map(len, texts)), LONGEST), is_beside_loop=is_beside_loop)

    def begin(self, rule_ids: Sequence[str]) -> None:
        """Number these rules from here on, and read every piece anew."""
        self._rule_ids = rule_ids
        self._costs.clear()
        self.read.clear()

    def spend(self, steps: float) -> None:
        """Take some of the steps; raises TooCostly if there are none left."""
        self.left -= steps
        if self.left < self._breath:
            self._breath = self.left - _BREATH
            time.sleep(_BREATH_SECONDS)
        if self.left < 0:
            costs = self._costs
            raise TooCostly(self._rule_ids[max(costs, key=lambda number: costs[number])] if costs else "")

    def spend_on(self, number: int, steps: float) -> None:
        """The same for the rule of this number."""
        self._costs[number] = self._costs.get(number, 0) + steps
        self.spend(steps)
