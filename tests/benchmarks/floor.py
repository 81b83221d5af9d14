"""How many innocent texts the filter's floor stops, by language."""

from __future__ import annotations

from pathlib import Path

from limner.bot.filters.content_filter import NEGATIVE
from limner.bot.filters.floor import floor
from limner.bot.filters.work import Work
from tests.benchmarks.figures import show

HERE = Path(__file__).parent
INNOCENT = HERE.parent / "bot" / "innocent_lines.txt"
SEEN = HERE / "doodle_has_seen.tsv"


def innocent_lines() -> dict[str, list[str]]:
    """Texts about family, school, medicine, art and sport that nobody should stop, by language."""
    found = dict[str, list[str]]()
    for line in INNOCENT.read_text("utf-8").splitlines():
        if line.startswith("# "):
            found[line.removeprefix("# ")] = []
        else:
            found[[*found][-1]].append(line)
    return found


def captions() -> list[str]:
    """The captions of combinations that doodle has learnt from."""
    return [line.split("\t")[0] for line in SEEN.read_text("utf-8").splitlines()]


def main() -> None:
    """Print the table."""
    texts = {**innocent_lines(), "captions of drawings, English": captions()}
    rows = [(name, str(len(lines)), str(sum(map(_is_stopped, lines)))) for name, lines in texts.items()]
    show("Innocent texts", ("", "texts", "stopped"), rows, "Each as the idea of a request.")


def _is_stopped(text: str) -> bool:
    return floor().find({"idea": text}, NEGATIVE, Work.of([text])).subject is not None


if __name__ == "__main__":
    main()
