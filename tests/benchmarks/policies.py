"""How well the text classifier finds each policy in texts that it has not learnt from, by label and language."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from limner.bot.filters.policies import USUAL
from limner.generators.text_classifiers import POLICIES, ExampleClassifier, WrittenExample, read_examples
from tests.benchmarks.figures import show
from tests.benchmarks.floor import innocent_lines

HERE = Path(__file__).parent
HELD_OUT = HERE / "policies_held_out.txt"
PERCENTAGES = (50, 60, 70, 80, 90)


@dataclass(frozen=True)
class Measured:
    """Texts with what they are about, and what the classifier is at least so sure of."""

    examples: Sequence[WrittenExample]
    scores: Sequence[dict[str, float]]

    def of(self, language: str) -> Measured:
        """Those in one language."""
        both = [(one, some) for one, some in zip(self.examples, self.scores, strict=True) if one.language == language]
        return Measured(*map(list, zip(*both, strict=True)))

    def figures(self, policy: str, percent: int) -> str:
        """Precision and recall."""
        found = [some[policy] >= percent / 100 for some in self.scores]
        about = [policy in one.policies for one in self.examples]
        right = sum(a and b for a, b in zip(found, about, strict=True))
        precision = f"{right / sum(found):.2f}" if any(found) else "–"
        return f"{precision} / {right / sum(about):.2f}"

    def false_alarms(self, percent: int) -> str:
        """How many texts about no policy it stops by one."""
        harmless = [some for one, some in zip(self.examples, self.scores, strict=True) if not one.policies]
        return f"{sum(max(some.values()) >= percent / 100 for some in harmless)} of {len(harmless)}"


async def measure() -> Measured:
    """The scores of the held-out texts by what ships."""
    examples = read_examples(HELD_OUT)
    return Measured(examples, await _scores([one.text for one in examples]))


def main() -> None:
    """Print the tables."""
    measured = asyncio.run(measure())
    note = "Precision / recall of held-out texts."
    show(
        f"{len(measured.examples)} held-out texts, by percentage",
        ("policy", *(f"{percent} %" for percent in PERCENTAGES)),
        [(policy, *(measured.figures(policy, percent) for percent in PERCENTAGES)) for policy in POLICIES]
        + [("harmless texts stopped by one", *map(measured.false_alarms, PERCENTAGES))],
        note,
    )
    languages = [*dict.fromkeys(one.language for one in measured.examples)]
    by_language = {language: measured.of(language) for language in languages}
    show(
        f"From {USUAL} %, by language",
        ("policy", *languages),
        [(policy, *(by_language[one].figures(policy, USUAL) for one in languages)) for policy in POLICIES]
        + [("stopped", *(by_language[one].false_alarms(USUAL) for one in languages))],
        note,
    )
    _show_innocent()


def _show_innocent() -> None:
    lines = [line for some in innocent_lines().values() for line in some]
    began = time.perf_counter()
    scores = asyncio.run(_scores(lines))
    milliseconds = 1000 * (time.perf_counter() - began) / len(lines)
    show(
        f"The {len(lines)} innocent lines of the floor",
        ("policy", *(f"{percent} %" for percent in PERCENTAGES)),
        [
            (policy, *(str(sum(some[policy] >= percent / 100 for some in scores)) for percent in PERCENTAGES))
            for policy in POLICIES
        ],
        f"Most are about families and school, so minors are found rightly. {milliseconds:.1f} ms a line.",
    )


async def _scores(texts: Sequence[str]) -> list[dict[str, float]]:
    classifier = ExampleClassifier.create(model="", url="", api_key="", timeout=60.0)
    found = await classifier.classify(texts)
    await classifier.close()
    return [{one.policy: one.score for one in some} for some in found]


if __name__ == "__main__":
    main()
