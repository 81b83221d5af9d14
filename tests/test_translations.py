"""Each person reads their own language: a private answer in the member's, a public message in the server's."""

from __future__ import annotations

from typing import Any

import pytest
from simcord import interactions

from limner.bot import translation
from limner.bot.errors import BadPrompt
from limner.bot.translation import Sentence, _, english, listed, nearest, ngettext, speaking, stored


@pytest.fixture
def locales(monkeypatch: pytest.MonkeyPatch) -> dict[int, str]:
    """The locale of each member who does not read English; the simulated Discord itself knows English members only."""
    of: dict[int, str] = {}
    simulated = interactions.base_payload

    def with_locales(backend: Any, **given: Any) -> Any:
        record, payload = simulated(backend, **given)
        payload["locale"] = of.get(given["user_id"], "en-US")
        if given["guild_id"] is not None:
            payload["guild_locale"] = backend.get_guild(given["guild_id"]).preferred_locale
        return record, payload

    monkeypatch.setattr(interactions, "base_payload", with_locales)
    return of


def test_a_locale_leads_to_the_nearest_language() -> None:
    assert [nearest(one) for one in ("zh-CN", "zh_CN.UTF-8", "en-GB", "C", "", "xx")] == ["zh_CN", "zh_CN", *["en"] * 4]
    assert nearest("zh-TW") == "en", "the other script is another language"
    assert nearest("xx", "zh_CN") == "zh_CN"


def test_a_terminal_is_read_as_gettext_reads_it() -> None:
    told = translation.of_terminal
    assert told({"LANG": "zh_CN.UTF-8"}) == "zh_CN"
    assert told({"LANG": "zh_CN.UTF-8", "LC_ALL": "en_GB.UTF-8"}) == "en"
    assert told({"LANG": "en_GB.UTF-8", "LANGUAGE": "xx:zh_CN"}) == "zh_CN"
    assert told({"LANG": "C", "LANGUAGE": "zh_CN"}) == told({}) == "en"


def test_english_is_what_the_code_says() -> None:
    assert _("Request {job}", job=7) == "Request 7"
    assert ngettext("one rule", "{number} rules", 1) == "one rule"
    assert ngettext("one rule", "{number} rules", 2) == "2 rules"
    assert [listed(names) for names in (["a"], ["a", "b"], ["a", "b", "c"])] == ["a", "a and b", "a, b and c"]
    assert stored("Request 7 is on its way.") == "Request 7 is on its way."


def test_an_error_keeps_its_english_for_the_row() -> None:
    with speaking("zh-CN"):
        text = str(BadPrompt(_("Request {job}", job=7)))
    assert isinstance(text, Sentence)
    assert english(text) == "Request 7"
    assert english("as it is") == "as it is"
