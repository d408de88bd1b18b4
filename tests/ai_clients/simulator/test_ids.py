"""Identifiers look like the providers' and do not repeat, not even when chance is seeded."""

import random
import re
from collections.abc import Callable

import pytest

from ai_clients.simulator import ids


@pytest.mark.parametrize(
    ("make", "form"),
    [
        (ids.openai_request, r"req_[0-9a-f]{32}"),
        (ids.chat_completion, r"chatcmpl-[0-9A-Za-z]{29}"),
        (ids.openai_tool_call, r"call_[0-9A-Za-z]{24}"),
        (ids.response, r"resp_[0-9a-f]{48}"),
        (lambda: ids.response_item("rs"), r"rs_[0-9a-f]{48}"),
        (ids.anthropic_request, r"req_011C[0-9A-Za-z]{20}"),
        (ids.message, r"msg_01[0-9A-Za-z]{22}"),
        (ids.anthropic_tool_use, r"toolu_01[0-9A-Za-z]{22}"),
    ],
)
def test_ids_have_the_form_and_are_unique(make: Callable[[], str], form: str) -> None:
    random.seed(0)
    first = make()
    random.seed(0)
    second = make()
    assert re.fullmatch(form, first)
    assert first != second
