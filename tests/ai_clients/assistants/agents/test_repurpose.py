"""The limit of each platform is kept, in its own measure: a second attempt, then an error."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from ai_clients.assistants.agents.repurpose import FORMS, PieceToRewrite, in_bytes, in_utf16
from ai_clients.assistants.calls.structured import InvalidAnswerError, TruncatedAnswerError
from tests.ai_clients.assistants.agents.conftest import PageParameters, Work

PIECE = {"text": "Длинный рассказ", "platform": "telegram_caption"}


def answer(length: int) -> dict[str, Any]:
    return {"text": "я" * length, "left_out": []}


def test_text_within_the_limit_is_taken_at_once(work: Work, asked: PageParameters) -> None:
    made = work("repurpose", PIECE, answer(1024))
    assert (made.length, made.limit, len(made.text), len(asked)) == (1024, 1024, 1024, 1)
    assert "1024 знаков" in asked[0]["instructions"]


def test_text_that_is_too_long_is_asked_for_once_more(work: Work, asked: PageParameters) -> None:
    made = work("repurpose", PIECE, answer(1025), answer(900))
    assert (made.length, len(asked)) == (900, 2)
    assert "1025 знаков" in asked[1]["instructions"]
    assert asked[1]["content"] == asked[0]["content"]


def test_text_that_is_too_long_twice_is_an_error(work: Work, asked: PageParameters) -> None:
    with pytest.raises(InvalidAnswerError, match=r"1500\b.*1024"):
        work("repurpose", PIECE, answer(2000), answer(1500))
    assert len(asked) == 2


def test_error_of_the_second_attempt_is_that_error(work: Work) -> None:
    with pytest.raises(TruncatedAnswerError):
        work("repurpose", PIECE, answer(2000), TruncatedAnswerError())


@pytest.mark.parametrize(
    ("platform", "text", "fits"),
    [
        ("telegram_caption", "😀" * 512, True),  # two units each
        ("telegram_caption", "😀" * 513, False),
        ("vk", "😀" * 15_895, True),  # one character each
        ("vk", "я" * 15_896, False),
        ("youtube", "я" * 2500, True),  # two bytes each
        ("youtube", "я" * 2501, False),
        ("telegram", "я" * 4096, True),
        ("telegram", "я" * 4097, False),
        ("max", "я" * 4001, False),
        ("instagram", "я" * 2201, False),
    ],
)
def test_each_platform_counts_in_its_own_way(
    work: Work, asked: PageParameters, platform: str, text: str, fits: bool
) -> None:
    answers = [{"text": text, "left_out": []}, *([] if fits else [answer(1)])]
    assert work("repurpose", {"text": "…", "platform": platform}, *answers).length > 0
    assert len(asked) == (1 if fits else 2)


def test_bytes_are_told_as_letters(work: Work, asked: PageParameters) -> None:
    work("repurpose", {"text": "…", "platform": "youtube"}, answer(1))
    assert "2500 знаков" in asked[0]["instructions"]


def test_platforms_taken_are_those_whose_form_is_known() -> None:
    assert get_args(PieceToRewrite.model_fields["platform"].annotation) == tuple(FORMS)


def test_counting() -> None:
    assert (in_utf16("aя😀"), in_bytes("aя😀")) == (4, 7)
