"""Tags: bounded words by key, merged from context to context, and never in the way of a call."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from django.utils.functional import SimpleLazyObject

from usage_billing import usage_context
from usage_billing.recording import current_attribution, tags


@pytest.fixture(autouse=True)
def warned_anew() -> Iterator[None]:
    tags._warn.cache_clear()
    yield
    tags._warn.cache_clear()


def of_contexts(*given: Any) -> dict[str, str]:
    """Return the tags of a call inside these contexts, the outermost first."""
    if not given:
        return current_attribution().tags
    with usage_context(tags=given[0]):
        return of_contexts(*given[1:])


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def test_contexts_merge_by_key_and_the_inner_value_wins(caplog: pytest.LogCaptureFixture) -> None:
    assert of_contexts({"feature": "search", "env": "prod"}) == {"feature": "search", "env": "prod"}
    assert of_contexts({"feature": "search", "env": "prod"}, {"env": "test"}) == {"feature": "search", "env": "test"}
    assert of_contexts({"env": "prod"}, None, {}) == {"env": "prod"}
    assert of_contexts({"env": "prod"}, {"env": ""}) == of_contexts({"env": "prod"}, {"env": None}) == {}
    assert current_attribution().tags == {}
    assert warnings(caplog) == []


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (7, "7"),
        (True, "True"),
        (Decimal("1.50"), "1.50"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (SimpleLazyObject(lambda: "lazy"), "lazy"),
        ("  поиск  ", "поиск"),
    ],
)
def test_other_values_become_text(given: Any, kept: str, caplog: pytest.LogCaptureFixture) -> None:
    assert of_contexts({"feature": given}) == {"feature": kept}
    assert warnings(caplog) == []


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({"a b/c": "x"}, {"a_b_c": "x"}),
        ({"k" * 41: "x"}, {"k" * 40: "x"}),
        ({"k": "v" * 101}, {"k": "v" * 100}),
        ({"k": "two\nlines"}, {"k": "two\ufffdlines"}),
        ({"": "x", "k": "v"}, {"k": "v"}),
        ({"k": "…other"}, {"k": "other"}),
        ({str(number): "x" for number in range(12)}, {str(number): "x" for number in range(10)}),
    ],
)
def test_what_is_out_of_bounds_is_cut_with_one_warning(
    given: dict[str, str], kept: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    assert of_contexts(given) == of_contexts(given) == kept
    (warning,) = warnings(caplog)
    assert "A call has up to 10 tags" in warning
    assert "metadata" in warning


def test_of_too_many_tags_the_inner_ones_stay(caplog: pytest.LogCaptureFixture) -> None:
    outer = {f"outer{number}": "x" for number in range(8)}
    inner = {f"inner{number}": "x" for number in range(4)}
    found = of_contexts(outer, inner)
    assert len(found) == tags.MOST
    assert found.items() >= inner.items()
    assert len(warnings(caplog)) == 1


class Failing(Mapping[str, str]):
    """A mapping of the caller's own that cannot be read."""

    def __getitem__(self, key: str) -> str:
        raise ZeroDivisionError

    def __iter__(self) -> Iterator[str]:
        return iter(["key"])

    def __len__(self) -> int:
        return 1


class FailingText:
    def __str__(self) -> str:
        raise ZeroDivisionError


@pytest.mark.parametrize("given", ["text", 7, ["a"], Failing()])
def test_tags_that_cannot_be_read_leave_the_outer_ones(given: Any, caplog: pytest.LogCaptureFixture) -> None:
    assert of_contexts({"env": "prod"}, given) == {"env": "prod"}
    assert len(warnings(caplog)) == 1


def test_an_object_that_fails_stands_for_its_class() -> None:
    assert of_contexts({FailingText(): FailingText()}) == {"_FailingText_": "<FailingText>"}
