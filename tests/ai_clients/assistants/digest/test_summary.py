"""The model's words on top: charged to the organisation, in its language, without a number."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from ai_clients.assistants.calls.structured import InvalidAnswerError
from ai_clients.assistants.digest import summary
from ai_clients.assistants.digest.figures import WeeklyDigest, weekly_digest_data
from ai_clients.assistants.digest.summary import DigestSummary, has_number, write_summary
from ai_clients.assistants.digest.week import Week
from tests.support import factories, people
from tests.support.recorded import Recorded
from usage_billing.models import Organization

pytestmark = pytest.mark.django_db

WORDS = {"headline": "Расходы выросли из-за trend_report.", "observations": ["Модель gpt-4.1-mini — почти всё."]}


@pytest.fixture
def digest(org: Organization) -> WeeklyDigest:
    return weekly_digest_data(org, Week(factories.TODAY - timedelta(days=2)))


def test_summary_is_a_call_of_the_organisation_and_of_nobody(
    digest: WeeklyDigest, simulated: dict[str, str], recorded: Recorded
) -> None:
    simulated["X-Simulator-Text"] = people.answer(**WORDS)
    assert write_summary(digest).model_dump() == WORDS
    event = recorded.one()
    assert (event.attribution.org_id, event.attribution.user_id, event.attribution.request_type, event.model) == (
        digest.org.pk,
        None,
        "weekly_digest",
        "claude-sonnet-5-5",
    )
    assert event.attribution.metadata == {"week": "2026-11-16"}


@pytest.mark.parametrize(
    "fields",
    [
        {"headline": "Расходы выросли на 15 %."},
        {"headline": "Потрачено ٣ доллара."},
        {"observations": ["Спокойно.", "Вызовов gpt-4.1-mini стало 3."]},
        {"observations": ["Модель gpt-4.1-nano подешевела."]},  # not one of theirs
    ],
)
def test_a_text_with_a_number_of_its_own_is_of_no_use(
    digest: WeeklyDigest, simulated: dict[str, str], recorded: Recorded, fields: dict[str, Any]
) -> None:
    simulated["X-Simulator-Text"] = people.answer(**{**WORDS, **fields})
    with pytest.raises(InvalidAnswerError):
        write_summary(digest)
    assert recorded.one().status == "succeeded"


@pytest.mark.parametrize(
    ("text", "expected"),
    [("Почти всё — gpt-4.1.", False), ("gpt-4.10", True), ("на 7", True), ("в 2 раза", True), ("½", True), ("", False)],
)
def test_digits_are_allowed_within_names_alone(text: str, expected: bool) -> None:
    assert has_number(text, ["gpt-4.1", "", "7", "owner7"]) is expected


def test_longer_names_are_taken_out_before_those_they_contain() -> None:
    assert not has_number("gpt-4.1-mini-2", ["gpt-4.1", "gpt-4.1-mini-2"])


def test_the_model_gets_the_numbers_and_the_language(digest: WeeklyDigest, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}

    def remember(**order: Any) -> DigestSummary:
        asked.update(order)
        return DigestSummary.model_validate(WORDS)

    monkeypatch.setattr(summary, "structured", remember)
    digest.org.language = "en"
    write_summary(digest)
    assert asked["instructions"].endswith("Пиши по-английски.")
    material = json.loads(asked["content"])
    assert material["total"]["this_week"] == {
        "usd": "0.0011",
        "calls": 3,
        "failed": 0,
        "tokens": 3300,
        "calls_of_unknown_cost": 1,
    }
    assert [day["weekday"] for day in material["by_day"]][:2] == ["Monday", "Tuesday"]
    assert material["by_agent"][0]["name"] is None


def test_too_many_and_too_long_words_are_cut() -> None:
    words = DigestSummary.model_validate({"headline": "а" * 500, "observations": ["б\n" * 900, "", *"вгдежз"]})
    assert (len(words.headline), len(words.observations), len(words.observations[0])) == (140, 4, 300)
