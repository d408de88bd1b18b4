"""What an answer's usage amounts to, in units of the price list."""

from typing import Any

import pytest

from tests.factories import chat_usage
from usage_billing.metering import Tokens, compact, meter
from usage_billing.recording.event import Flavour


@pytest.mark.parametrize(
    ("flavour", "block", "tokens"),
    [
        ("chat", chat_usage(10, 5, cached=4, reasoning=3), Tokens(10, 5, cached=4, reasoning=3)),
        (
            "messages",
            {
                "input_tokens": 7,
                "cache_read_input_tokens": 20,
                "cache_creation_input_tokens": 3,
                "output_tokens": 9,
                "output_tokens_details": {"thinking_tokens": 4},
            },
            Tokens(30, 9, cached=20, cache_write=3, reasoning=4),
        ),
        ("embeddings", {"prompt_tokens": 8, "total_tokens": 8}, Tokens(8, 0)),
        # Without the details that the images extractor wants, what is plain is kept.
        ("images", {"input_tokens": 5, "output_tokens": 6}, Tokens(5, 6)),
        ("chat", {"prompt_tokens": -5, "completion_tokens": 6}, Tokens(0, 6)),
        ("chat", {"prompt_tokens": True, "completion_tokens": "6"}, Tokens()),
        ("chat", {}, Tokens()),
    ],
)
def test_tokens_of_a_usage_block(flavour: Flavour, block: Any, tokens: Tokens) -> None:
    assert meter(flavour, block).tokens == tokens


def test_compact_usage_keeps_every_unit_that_was_used() -> None:
    block = {
        "prompt_tokens": 3,
        "completion_tokens": 0,
        "cost": 0.0,
        "details": {"a": 0, "b": None, "c": 2},
        "empty": {"x": 0},
        "tier": "standard",
        "iterations": [{"input_tokens": 1}],
    }
    assert compact(block) == {
        "prompt_tokens": 3,
        "details": {"c": 2},
        "tier": "standard",
        "iterations": [{"input_tokens": 1}],
    }
