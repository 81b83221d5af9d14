"""The judge of what the tests send to Discord finds what Discord would refuse."""

from typing import Any

import pytest

from tests.discord_spec import complaints

MESSAGE = ("POST", "/channels/1/messages")
EDIT = ("PATCH", "/webhooks/1/token/messages/2")
ANSWER = ("POST", "/interactions/1/token/callback")
BUTTON = {"type": 2, "style": 1, "label": "Reroll", "custom_id": "limner:reroll:1"}
OPTION = {"label": "one", "value": "1"}


def row(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"type": 1, "components": list(parts)}


def select(count: int, **more: Any) -> dict[str, Any]:
    options = [OPTION | {"value": str(number)} for number in range(count)]
    return row({"type": 3, "custom_id": "limner:choice", "options": options, **more})


def form(**field: Any) -> dict[str, Any]:
    text = {"type": 4, "style": 1, "custom_id": "idea", **field}
    label = {"type": 18, "label": "Idea", "component": text}
    return {"type": 9, "data": {"custom_id": "limner:form", "title": "Remix", "components": [label]}}


@pytest.mark.parametrize(
    ("request_line", "body"),
    [
        (MESSAGE, {"content": "x" * 2000, "components": [row(BUTTON)], "nonce": "request-1"}),
        (MESSAGE, {"embeds": [{"description": "x" * 4096, "fields": [{"name": "a", "value": "b" * 1024}]}]}),
        (MESSAGE, {"attachments": [{"id": 0, "filename": "a.png", "description": "x" * 1024}]}),
        (EDIT, {"content": "", "attachments": [], "components": [select(25, max_values=25)]}),
        (ANSWER, {"type": 8, "data": {"choices": [{"name": "x" * 100, "value": "y" * 100}] * 25}}),
        (ANSWER, form(max_length=4000, value="x" * 4000)),
        (ANSWER, {"type": 6}),
        (("GET", "/channels/1/messages"), None),
    ],
)
def test_what_discord_takes_is_let_through(request_line: tuple[str, str], body: Any) -> None:
    assert complaints(*request_line, body) == []


@pytest.mark.parametrize(
    ("request_line", "body", "complaint"),
    [
        (MESSAGE, {"content": "x" * 2001}, "a content of 2001 characters"),
        (MESSAGE, {"content": ""}, "an empty message"),
        (MESSAGE, {"content": "x", "nonce": "x" * 26}, "$.nonce"),
        (MESSAGE, {"embeds": [{"description": "x" * 4097}]}, "$.embeds[0].description"),
        (MESSAGE, {"embeds": [{"fields": [{"name": "a", "value": "b" * 1025}]}]}, "$.embeds[0].fields[0].value"),
        (MESSAGE, {"embeds": [{"description": "x" * 4000}] * 2}, "embeds of 8000 characters"),
        (MESSAGE, {"attachments": [{"id": 0, "filename": "a", "description": "x" * 1025}]}, "$.attachments[0]"),
        (EDIT, {"components": [row(BUTTON, BUTTON)]}, "custom_id 'limner:reroll:1' twice"),
        (EDIT, {"components": [row(BUTTON | {"custom_id": "x" * 101})]}, "custom_id"),
        (EDIT, {"components": [row(BUTTON | {"label": "x" * 81})]}, "label"),
        (EDIT, {"components": [row(*(BUTTON | {"custom_id": str(i)} for i in range(6)))]}, "6"),
        (EDIT, {"components": [select(26)]}, "options"),
        (EDIT, {"components": [select(2, max_values=3)]}, "3 of 2 options"),
        (ANSWER, {"type": 8, "data": {"choices": [{"name": "x" * 101, "value": "y"}]}}, "choices[0]"),
        (ANSWER, {"type": 8, "data": {"choices": [{"name": "x", "value": "y"}] * 26}}, "choices"),
        (ANSWER, form(max_length=10, value="x" * 11), "a text of 11 characters in a field of 10"),
        (ANSWER, {"type": 4, "data": {"content": "x" * 2001}}, "a content of 2001 characters"),
    ],
)
def test_what_discord_refuses_is_found(request_line: tuple[str, str], body: Any, complaint: str) -> None:
    assert any(complaint in found for found in complaints(*request_line, body))


def test_files_and_reasons_are_counted() -> None:
    assert complaints(*MESSAGE, {"content": "x"}, files=11)
    assert complaints("PATCH", "/guilds/1/members/2", {"nick": "x"}, reason="x" * 513)
