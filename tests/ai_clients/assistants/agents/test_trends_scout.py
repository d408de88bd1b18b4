"""Every trend names posts of the input."""

from __future__ import annotations

import json

import pytest

from ai_clients.assistants.calls.structured import InvalidAnswerError
from tests.ai_clients.assistants.agents.conftest import PageParameters, Work

GIVEN = {"posts": [{"text": "Раф", "date": "2026-11-18", "reactions": 7}, {"text": "[1] Снова раф"}], "topic": "кофе"}


def report(*numbers: int) -> dict[str, object]:
    trend = {"name": "Раф", "summary": "…", "movement": "rising", "posts": list(numbers), "ideas": []}
    return {"trends": [trend], "summary": "…"}


def test_posts_are_numbered_apart_from_their_texts(work: Work, asked: PageParameters) -> None:
    assert work("trends_scout", GIVEN, report(1, 2)).trends[0].posts == [1, 2]
    assert json.loads(asked[0]["content"]) == {
        "topic": "кофе",
        "posts": [
            {"number": 1, "text": "Раф", "date": "2026-11-18", "source": "", "reactions": 7},
            {"number": 2, "text": "[1] Снова раф", "source": ""},
        ],
    }


@pytest.mark.parametrize("number", [0, 3, -1])
def test_post_that_was_not_given_is_an_error(work: Work, number: int) -> None:
    with pytest.raises(InvalidAnswerError, match=r"."):
        work("trends_scout", GIVEN, report(1, number))
