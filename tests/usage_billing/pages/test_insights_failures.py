"""The words of failed and unpriced calls."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest
from django.utils import translation

from usage_billing.pages.insights_failures import failure_reasons
from usage_billing.reports import FailureGroup, Failures


@pytest.fixture(autouse=True)
def in_english() -> Iterator[None]:
    with translation.override("en"):
        yield


def group(count: int = 1, **columns: str) -> FailureGroup:
    usual = FailureGroup("succeeded", "openai", "gpt-5", "not-charged:failed", "", count)
    return dataclasses.replace(usual, **columns)  # type: ignore[arg-type]  # the columns are texts


@pytest.mark.parametrize(
    ("columns", "title", "advice"),
    [
        ({"error_code": "429 rate_limit_exceeded"}, "openai: 429 rate_limit_exceeded", "Spread the calls"),
        ({"error_code": "401 invalid_api_key"}, "openai: 401 invalid_api_key", "Check the key"),
        ({"error_code": "529 overloaded_error"}, "openai: 529 overloaded_error", "The clients retry"),
        ({"error_code": "APITimeoutError"}, "openai: APITimeoutError", "Check the network"),
        ({"error_code": "400 bad"}, "openai: 400 bad", "The provider refused"),
        ({}, "openai: failed without an error code", "Open a call"),
        ({"price_source": "unpriced:unknown-model"}, "No price for gpt-5", "Update the price list"),
        ({"price_source": "unpriced:no-price-for:web_searches"}, "No price for web_searches", "Add a price override"),
        (
            {"price_source": "unpriced:unknown-context:service_tier=scale,speed=fast"},
            "No price for service_tier=scale, speed=fast",
            "Add a price override",
        ),
        ({"price_source": "unpriced:cut-short"}, "Cut short before the answer was complete", "Read streams"),
        ({"price_source": "unpriced:pending"}, "Answer not fetched yet", "Fetch it"),
        ({"price_source": "unpriced:unknown-endpoint"}, "Unknown endpoint without usage", "Look up"),
        ({"price_source": "unpriced:used-elsewhere"}, "Session used by a browser or a telephone", "Connect"),
        ({"price_source": "unpriced:results-not-read"}, "Results of a batch not read", "Read them"),
        ({"price_source": "unpriced:unknown-usage-field:x"}, "Unknown field in the usage: x", "Open a call"),
        ({"price_source": "unpriced:other"}, "Usage missing or contradictory: other", "Open a call"),
    ],
)
def test_each_reason_has_a_short_title_and_advice(columns: dict[str, str], title: str, advice: str) -> None:
    (reason,) = failure_reasons(Failures([group(1, **columns)], is_cut=False), for_superadmin=True)
    assert (reason.title, reason.advice[: len(advice)]) == (title, advice)


def test_groups_of_one_reason_are_together_and_narrowed_to() -> None:
    unknown = {"price_source": "unpriced:unknown-model"}
    groups = [
        *(group(2, ai_model=f"model_{n}", **unknown) for n in range(4)),
        group(3, ai_model="model_0", status="failed", **unknown),
        group(1, error_code="500", status="failed"),
        group(1, error_code="500", status="failed", ai_provider="anthropic"),
    ]
    first, second, third = failure_reasons(Failures(groups, is_cut=False), for_superadmin=False)
    assert (first.title, first.count, first.number) == ("No price for model_0, model_1 and 2 more", 11, "11")
    assert first.advice == "Ask a superadmin to add a price override."
    assert first.narrowing == {
        "status": ["failed", "succeeded"],
        "error_code": [""],
        "price_source": ["unpriced:unknown-model"],
    }
    assert {each.title for each in (second, third)} == {"openai: 500", "anthropic: 500"}
    assert {tuple(each.narrowing["ai_provider"]) for each in (second, third)} == {("openai",), ("anthropic",)}
    (cut, *_) = failure_reasons(Failures(groups, is_cut=True), for_superadmin=False)
    assert cut.number == "> 11"


def test_reason_with_error_codes_of_its_own_is_told_apart() -> None:
    groups = [group(1, price_source="unpriced:cut-short", error_code=code) for code in ("", "timeout")]
    found = failure_reasons(Failures(groups, is_cut=False), for_superadmin=True)
    titles = {"Cut short before the answer was complete", "Cut short before the answer was complete (timeout)"}
    assert {each.title for each in found} == titles
