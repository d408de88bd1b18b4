"""The layers of a stack add up to the whole, whatever they are."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from pytest_django import DjangoAssertNumQueries

from tests.support import factories
from tests.support.rows import NOON, enter, row
from usage_billing import reports
from usage_billing.reports import FIGURES, Period
from usage_billing.tenancy.scope import EVERYTHING, NOTHING

pytestmark = pytest.mark.django_db
TODAY = NOON.date()
PERIOD = Period.of_days(10, TODAY)


@pytest.fixture(autouse=True)
def calls() -> None:
    org = factories.organization("Acme")
    enter(
        *(
            row(org, ai_model=f"m{n % 4}", cost_usd=Decimal(n), created_at=NOON - timedelta(days=n % 10))
            for n in range(40)
        ),
        row(org, ai_model="m0", cost_usd=None, cost_rub=None),
    )


@pytest.mark.parametrize("step", ["day", "week", "month"])
def test_layers_add_up_to_the_whole(step: str, django_assert_num_queries: DjangoAssertNumQueries) -> None:
    whole = reports.time_series(EVERYTHING, PERIOD, TODAY, step=step)
    keys: list[tuple[Any, ...]] = [("openai", "m3"), ("openai", "m0")]
    with django_assert_num_queries(1):
        layers = reports.stacked_series(EVERYTHING, ["ai_provider", "ai_model"], keys, whole, PERIOD, step=step)
    assert [layer.key for layer in layers] == [*keys, None]
    for number, row_ in enumerate(whole):
        for measure in ("requests_count", "cost_usd", "unpriced_usd_count"):
            parts = [layer.rows[number][measure] or 0 for layer in layers]
            assert sum(parts) == (row_[measure] or 0)


def test_nothing_is_left_when_every_key_is_named() -> None:
    whole = reports.time_series(EVERYTHING, PERIOD, TODAY)
    keys = [("openai", f"m{n}") for n in range(4)]
    layers = reports.stacked_series(EVERYTHING, ["ai_provider", "ai_model"], keys, whole, PERIOD)
    assert [layer.key for layer in layers] == keys


def test_layers_are_of_what_the_person_may_see() -> None:
    whole = reports.time_series(NOTHING, PERIOD, TODAY)
    (layer,) = reports.stacked_series(NOTHING, ["ai_model"], [("m0",)], whole, PERIOD)
    assert sum(row_["requests_count"] for row_ in layer.rows) == 0


@pytest.mark.parametrize("figure", FIGURES)
def test_any_figure_can_be_stacked_by_a_tag(figure: str) -> None:
    org = factories.organization()
    enter(*(row(org, tags={"env": "prod"}, execution_time_ms=1000 * n, status="failed") for n in range(5)))
    measures = reports.measures_of(figure)
    whole = reports.time_series(EVERYTHING, PERIOD, TODAY, measures=measures)
    prod, rest = reports.stacked_series(EVERYTHING, ["tag.env"], [("prod",)], whole, PERIOD, measures=measures)
    (of_prod,) = reports.totals(EVERYTHING, filters={"tag.env": "prod"}, measures=measures)
    (of_rest,) = reports.totals(EVERYTHING, filters={"tag.env": ""}, period=Period(TODAY), measures=measures)
    assert reports.figure(prod.rows[-1], figure) == reports.figure(of_prod, figure)
    assert reports.figure(rest.rows[-1], figure) == reports.figure(of_rest, figure)
