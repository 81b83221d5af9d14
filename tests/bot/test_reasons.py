"""Codes in rows: compared as members of an enum, so that the type checker finds a misspelled one."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from enum import StrEnum
from pathlib import Path

import pytest

from limner.bot.guild_settings import OnEvasion
from limner.bot.reasons import EndCode, HoldReason, ImageVerdict, JobKind, JobStatus, ReviewState, TimeOut

BOT = Path(__file__).resolve().parents[2] / "bot"
ENUMS: dict[str, tuple[type[StrEnum], ...]] = {
    "kind": (JobKind,),
    "quarantine": (HoldReason,),
    "verdict": (ImageVerdict,),
    "reason_code": (EndCode,),
    "code": (EndCode, HoldReason),
    "why": (HoldReason,),
    "status": (JobStatus,),
    "state": (ReviewState,),
    "timeout": (TimeOut,),
    "evasion": (OnEvasion,),
}
"""Names of columns and attributes, and the enums of what they hold."""


def bare(source: str) -> Iterator[str]:
    """Each string in a source that is compared with, or given as, such a code."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            for side in sides:
                yield from _codes(_name(side), [other for other in sides if other is not side])
        elif isinstance(node, ast.Call):
            yield from _codes(_name(node.func.value) if isinstance(node.func, ast.Attribute) else None, node.args)
            for keyword in node.keywords:
                yield from _codes(keyword.arg, [keyword.value])
        elif isinstance(node, ast.Match):
            yield from _codes(_name(node.subject), [case.pattern for case in node.cases])


def _name(node: ast.AST) -> str | None:
    if isinstance(node, ast.Call) and node.args:
        node = node.args[0]
    if isinstance(node, ast.BoolOp):
        node = node.values[0]
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else None


def _codes(name: str | None, nodes: Sequence[ast.AST]) -> Iterator[str]:
    values = {member.value for enum in ENUMS.get(name or "", ()) for member in enum}
    for node in (inner for outer in nodes for inner in ast.walk(outer)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.split(":")[0] in values:
            yield f"line {node.lineno}: {name} and {node.value!r}"


def test_no_code_is_compared_as_a_bare_string():
    found = [f"{file.relative_to(BOT)} {line}" for file in BOT.rglob("*.py") for line in bare(file.read_text("utf-8"))]

    assert not found, "\n" + "\n".join(found)


@pytest.mark.parametrize(
    "source",
    [
        'job.kind == "paint"',
        '"unseen" != job.quarantine',
        'job.quarantine in ("flagged", other)',
        'Job.reason_code.startswith("filter:")',
        '(job.reason_code or "").startswith("filter:")',
        'Job.reason_code.not_like("picture:%")',
        'Job.quarantine.in_(["explicit"])',
        'NewJob(idea, kind="finish")',
        'update.values(reason_code="cancelled")',
        'match settings.evasion:\n    case "strike":\n        pass',
    ],
)
def test_a_bare_string_is_found(source: str):
    assert [*bare(source)]
