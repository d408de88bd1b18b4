"""Validation of price overrides by the model and by the database."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils import translation

from tests.support import factories
from usage_billing.models import Organization, PriceOverride

pytestmark = pytest.mark.django_db

GOOD: dict[str, str] = {"input_mtok": "2.5", "output_mtok": "10", "cache_read_mtok": "0.25"}


@pytest.fixture(autouse=True)
def in_english(settings: Any) -> None:
    settings.LANGUAGE_CODE = "en"


def override(prices: Any = None, **fields: Any) -> PriceOverride:
    given = {"provider": "openai", "model_pattern": "gpt-99", "valid_from": date(2026, 1, 1)} | fields
    return PriceOverride(prices=GOOD if prices is None else prices, **given)


def errors(price: PriceOverride) -> dict[str, list[str]]:
    try:
        with translation.override("en"):
            price.full_clean()
    except ValidationError as refused:
        return refused.message_dict
    return {}


@pytest.mark.parametrize(
    "prices",
    [
        GOOD,
        {"input_mtok": "0", "output_mtok": "0"},
        {"input_mtok": "999999.123456789012"},
        {"requests_kcount": "5"},
        {"audio_hours": "0.36", "input_audio_hours": "0.36"},
    ],
)
def test_prices_in_the_lists_words_are_taken(prices: dict[str, str]) -> None:
    price = override(prices)
    assert errors(price) == {}
    price.save()
    assert PriceOverride.objects.get().prices == prices


NUMBER = '“input_mtok”: write the USD in quotation marks, such as "2.5"; from 0 to 999999, at most 12 places.'


@pytest.mark.parametrize(
    ("prices", "message"),
    [
        ({"inputs_mtok": "1"}, "“inputs_mtok” is not a price key. The nearest keys: input_mtok, "),
        ({"": "1"}, "“” is not a price key. The nearest keys: input_mtok, output_mtok, cache_read_mtok."),
        ({"input_tokens": "1"}, "“input_tokens” is not a price key. The nearest keys: input_"),
        *(
            ({"input_mtok": price}, NUMBER)
            for price in (
                2.5,
                1,
                None,
                True,
                ["1"],
                "-1",
                "1e3",
                "NaN",
                "Infinity",
                "",
                " 1",
                "1,5",
                ".5",
                "٢",
                "1000000",
            )
        ),
        ({"cache_read_mtok": "1"}, "“input_mtok” is needed too"),
        (
            {"input_mtok": "1", "cache_read_mtok": "1", "input_audio_mtok": "1"},
            "“cache_audio_read_mtok” is needed too",
        ),
        ([], "This field cannot be blank."),
        ({}, "This field cannot be blank."),
        ("free", "Write at least one price"),
        (["input_mtok"], "Write at least one price"),
    ],
)
@pytest.mark.postgres
def test_what_is_no_price_is_refused_by_the_model_with_what_to_do(prices: Any, message: str) -> None:
    found = errors(override(prices))
    assert list(found) == ["prices"]
    assert found["prices"][0].startswith(message)


def test_each_wrong_price_has_its_own_line() -> None:
    assert len(errors(override({"input": "1", "output_mtok": "-1"}))["prices"]) == 2


@pytest.mark.parametrize(
    "prices",
    [
        {},
        [],
        "free",
        {"input_mtok": 2.5},
        {"input_mtok": "-1"},
        {"input_mtok": "NaN"},
        {"input_mtok": ""},
        {"a": {"b": "1"}},
    ],
)
@pytest.mark.postgres
def test_what_is_no_price_is_refused_by_the_database_too(prices: Any) -> None:
    with pytest.raises(IntegrityError, match="price_override_prices"), transaction.atomic():
        override(prices).save()


@pytest.mark.parametrize("field", ["provider", "model_pattern"])
def test_database_refuses_a_price_for_nothing(field: str) -> None:
    with pytest.raises(IntegrityError, match="price_override_named"), transaction.atomic():
        override(**{field: ""}).save()


def test_provider_is_kept_in_small_letters_without_spaces() -> None:
    price = override(provider=" LLM.Example.com ", model_pattern=" GPT-99 ")
    price.full_clean()
    assert (price.provider, price.model_pattern) == ("llm.example.com", "GPT-99")


def one_org() -> Organization | None:
    return factories.organization()


def no_org() -> Organization | None:
    return None


@pytest.mark.parametrize("whose", [one_org, no_org])
def test_one_price_for_a_model_organisation_and_day(whose: Any) -> None:
    org = whose()
    override(org=org).save()
    again = override(org=org, model_pattern="GPT-99")
    assert [error[:22] for error in errors(again)["__all__"]] == ["A price for this model"]
    with pytest.raises(IntegrityError), transaction.atomic():
        again.save()
    for other in (
        override(org=org, valid_from=date(2026, 1, 2)),
        override(org=org, model_pattern="gpt-98"),
        override(org=org, provider="azure"),
        override(org=factories.organization()),
    ):
        assert errors(other) == {}
        other.save()
    assert PriceOverride.objects.count() == 5


def test_price_goes_with_its_organisation() -> None:
    org = factories.organization()
    override(org=org).save()
    override().save()
    org.delete()
    assert list(PriceOverride.objects.values_list("org", flat=True)) == [None]
