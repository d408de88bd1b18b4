"""The most that a call may use, from requests that nobody who means well would write."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest

from ai_clients.usage.request_bounds import MOST_ANSWERS, Bounds, bounds_of

URL = "https://api.openai.com/v1/chat/completions"


def bounds(**fields: Any) -> Bounds:
    given = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]} | fields
    return bounds_of(httpx2.Request("POST", URL, json=given), "chat")


def test_media_that_two_marks_announce_is_left_out_once() -> None:
    """`"data":"` and `;base64,` stand before the same bytes: taken away twice, the text was shorter than nothing."""
    image = {"type": "input_audio", "input_audio": {"data": "data:audio/wav;base64," + "A" * 10_000}}
    text = {"type": "text", "text": "t" * 5_000}
    found = bounds(messages=[{"role": "user", "content": [image, text]}])
    assert found.is_open
    assert 5_000 < found.text_bytes < 10_000


@pytest.mark.parametrize("number", [10**9, 10**31, -1, 0, True, 2.5, "2", None])
def test_number_of_answers_is_bounded(number: object) -> None:
    assert 1 <= bounds(n=number).answers <= MOST_ANSWERS
