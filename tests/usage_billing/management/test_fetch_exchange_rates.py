"""`fetch_exchange_rates` against a bank on loopback."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from pytest_django import Settings

from tests.support import bank
from tests.support.bank import Bank, body, rates, record
from tests.support.configure import configure
from tests.support.factories import NOON
from usage_billing.exchange_rates.rates import rates_on
from usage_billing.models import ExchangeRate

NOTHING = "Nothing was saved. Run it again later, check EXCHANGE_RATES_URL, or enter the rates in the admin."

pytestmark = pytest.mark.django_db


@pytest.fixture
def the_bank(settings: Settings) -> Iterator[Bank]:
    with bank.running() as running:
        configure(settings, EXCHANGE_RATES_URL=running.url)
        yield running


@pytest.fixture(autouse=True)
def _wednesday(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is 2026-11-18, noon in Moscow."""
    monkeypatch.setattr("django.utils.timezone.now", lambda: NOON)


@pytest.fixture
def fetched(the_bank: Bank, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run the command while the bank gives this answer; return what it prints."""

    def run(answer: bytes, *arguments: str) -> str:
        the_bank.answer = body(answer)
        call_command("fetch_exchange_rates", *arguments)
        return capsys.readouterr().out

    return run


def enter(day: str, usd_rub: str, source: str = "cbr") -> None:
    ExchangeRate.objects.create(date=day, usd_rub=Decimal(usd_rub), source=source)


def table() -> list[tuple[str, Decimal, str]]:
    rows = ExchangeRate.objects.order_by("date").values_list("date", "usd_rub", "source")
    return [(str(day), usd_rub, source) for day, usd_rub, source in rows]


def asked(the_bank: Bank) -> tuple[str, str]:
    [(_path, query)] = the_bank.asked
    return query["date_req1"], query["date_req2"]


# ── Saving ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_fetch_saves_the_banks_rates_and_says_so(fetched: Callable[..., str]) -> None:
    answer = rates(record("17.11.2026", "79,5"), record("18.11.2026", "79,9"), record("19.11.2026", "80,1234"))
    assert fetched(answer) == "Saved 3 rates, 2026-11-17 to 2026-11-19; newest: 80.1234 RUB per USD.\n"
    assert table() == [
        ("2026-11-17", Decimal("79.5"), "cbr"),
        ("2026-11-18", Decimal("79.9"), "cbr"),
        ("2026-11-19", Decimal("80.1234"), "cbr"),
    ]


def test_fetch_saves_one_rate(fetched: Callable[..., str]) -> None:
    enter("2026-11-18", "79")
    assert fetched(rates(record("19.11.2026", "80"))) == "Saved 1 rate, 2026-11-19; newest: 80 RUB per USD.\n"


def test_fetch_weekends_carry_what_it_saved(fetched: Callable[..., str]) -> None:
    fetched(rates(record("14.11.2026", "80,1234"), record("17.11.2026", "81")))  # Saturday, Tuesday
    sunday, monday = date(2026, 11, 15), date(2026, 11, 16)
    assert rates_on([sunday, monday]) == {sunday: Decimal("80.1234"), monday: Decimal("80.1234")}


def test_fetch_asks_for_a_month_at_first(the_bank: Bank, fetched: Callable[..., str]) -> None:
    enter("2026-11-17", "79", "manual")
    enter("2026-11-18", "79", "demo")
    fetched(rates(record("19.11.2026")))
    assert asked(the_bank) == ("19/10/2026", "19/11/2026")


def test_fetch_asks_for_what_came_after_the_banks_newest(the_bank: Bank, fetched: Callable[..., str]) -> None:
    enter("2026-11-14", "79")
    enter("2026-11-13", "79")
    enter("2026-11-17", "79", "manual")
    fetched(rates(record("19.11.2026")))
    assert asked(the_bank) == ("15/11/2026", "19/11/2026")


def test_fetch_asks_nothing_once_tomorrows_rate_is_here(the_bank: Bank, fetched: Callable[..., str]) -> None:
    enter("2026-11-19", "80.1234")
    assert fetched(rates()) == (
        "Saved no rates: the one for 2026-11-19 is already saved; newest: 80.1234 RUB per USD.\n"
    )
    assert the_bank.asked == []


def test_fetch_asks_for_the_range_given(the_bank: Bank, fetched: Callable[..., str]) -> None:
    enter("2026-11-19", "80")
    fetched(rates(record("03.11.2026")), "--from", "2026-11-01", "--to", "2026-11-10")
    assert asked(the_bank) == ("01/11/2026", "10/11/2026")


def test_fetch_tomorrow_is_moscows(
    the_bank: Bank, fetched: Callable[..., str], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.TIME_ZONE = "America/New_York"
    late = datetime(2026, 11, 18, 21, 30, tzinfo=UTC)  # half past midnight of the 19th in Moscow
    monkeypatch.setattr("django.utils.timezone.now", lambda: late)
    enter("2026-11-18", "80")
    fetched(rates(record("20.11.2026")))
    assert asked(the_bank) == ("19/11/2026", "20/11/2026")


def test_fetch_before_the_bank_has_published_is_no_failure(fetched: Callable[..., str]) -> None:
    enter("2026-11-18", "80.1234")
    assert fetched(rates()) == ("Saved no rates: the bank has none for 2026-11-19 yet; newest: 80.1234 RUB per USD.\n")


def test_fetch_calls_nothing_known_that_is_made_up(fetched: Callable[..., str]) -> None:
    enter("2026-11-18", "79", "demo")
    assert fetched(rates(), "--from", "2026-11-19") == (
        "Saved no rates: the bank has none for 2026-11-19 yet; none is known.\n"
    )


def test_fetch_again_saves_nothing_new(fetched: Callable[..., str]) -> None:
    answer = rates(record("17.11.2026"), record("18.11.2026"))
    fetched(answer)
    assert fetched(answer, "--from", "2026-11-17") == (
        "Saved no rates: those for 2026-11-17 to 2026-11-19 are already saved; newest: 80.1234 RUB per USD.\n"
    )


def test_fetch_says_what_it_left_as_entered_by_hand(fetched: Callable[..., str]) -> None:
    enter("2026-11-18", "79", "manual")
    enter("2026-11-17", "79", "demo")
    answer = rates(record("17.11.2026", "80"), record("18.11.2026", "80"))
    assert fetched(answer) == ("Saved 1 rate, 2026-11-17; newest: 80 RUB per USD; kept 1 entered by hand.\n")
    assert table() == [("2026-11-17", Decimal("80"), "cbr"), ("2026-11-18", Decimal("79"), "manual")]
    assert fetched(rates(record("18.11.2026", "80")), "--from", "2026-11-18", "--to", "2026-11-18") == (
        "Saved no rates: those for 2026-11-18 are already saved; newest: 79 RUB per USD; kept 1 entered by hand.\n"
    )


# ── Refusing ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (body(b"<!DOCTYPE html><html><title>DDOS-GUARD</title></html>"), "The answer is not readable XML"),
        (body(rates(record("18.11.2026"))[:-9]), "The answer is not readable XML"),
        (body(rates(record("18.11.2026"), record("19.11.2026", "NaN"))), "The answer's Value of 19.11.2026"),
        (body(rates(record("18.11.2026"), record("20.11.2026"))), "The answer has a rate for 2026-11-20"),
        (body(rates(record("18.11.2026"), record("18.11.2026", "81"))), "The answer has two rates for 2026-11-18"),
        (
            body(rates(record("18.11.2026"), record("19.11.2026", nominal="0"))),
            "The answer gives 80,1234 RUB for 0 USD",
        ),
        (body(rates(code="R01239")), "The answer is not about US dollars"),
        (body(rates(*[record("18.11.2026")] * 10_000)), "The answer has more than 1,000,000 bytes."),
        (body(b"", 503), "The bank answered with status 503."),
    ],
)
def test_fetch_changes_nothing_for_a_bad_answer(the_bank: Bank, answer: bank.Answer, why: str) -> None:
    enter("2026-11-16", "79")
    enter("2026-11-17", "79", "manual")
    enter("2026-11-18", "79", "demo")
    before = table()
    the_bank.answer = answer
    with pytest.raises(CommandError) as refused:
        call_command("fetch_exchange_rates")
    assert str(refused.value).startswith(why)
    assert str(refused.value).endswith(f" {NOTHING}")
    assert table() == before


def test_fetch_of_a_bank_that_is_away(settings: Settings) -> None:
    with bank.running() as gone:
        configure(settings, EXCHANGE_RATES_URL=gone.url)
    with pytest.raises(CommandError) as refused:
        call_command("fetch_exchange_rates")
    assert str(refused.value) == f"The bank did not answer: “[Errno 111] Connection refused”. {NOTHING}"


def test_fetch_refuses_a_jump_unless_somebody_has_looked_at_it(fetched: Callable[..., str]) -> None:
    enter("2026-11-17", "80.1234")
    answer = rates(record("18.11.2026", "80"), record("19.11.2026", "8012,34"))
    with pytest.raises(CommandError) as refused:
        fetched(answer)
    assert str(refused.value) == (
        "8012.34 RUB per USD on 2026-11-19 is more than 50% away from 80.1234 on 2026-11-17. Nothing was saved. "
        "If the bank really says so, run it again with --accept-jumps; "
        "if the known rate is wrong, correct it in the admin first."
    )
    assert table() == [("2026-11-17", Decimal("80.1234"), "cbr")]
    assert fetched(answer, "--accept-jumps") == (
        "Saved 2 rates, 2026-11-18 to 2026-11-19; newest: 8012.34 RUB per USD.\n"
    )


def test_fetch_no_rates_for_longer_than_one_is_carried_is_a_bad_answer(fetched: Callable[..., str]) -> None:
    enter("2026-11-07", "80")
    with pytest.raises(CommandError, match="no rate at all for 2026-11-08 to 2026-11-18") as refused:
        fetched(rates())
    assert str(refused.value).endswith(NOTHING)
    enter("2026-11-08", "80")  # ten days ago: today still has a rate
    assert fetched(rates()).startswith("Saved no rates: the bank has none for 2026-11-09 to 2026-11-19 yet")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--from", "18.11.2026"], "“18.11.2026” is not a date. Write it as 2026-01-31."),
        (
            ["--from", "2026-11-18", "--to", "2026-11-17"],
            "There are no days from 2026-11-18 to 2026-11-17. Give an earlier --from, or a later --to.",
        ),
        (
            ["--to", "2026-11-10"],  # of itself it would begin after the newest rate
            "There are no days from 2026-11-17 to 2026-11-10. Give an earlier --from, or a later --to.",
        ),
        (
            ["--to", "2026-11-23"],
            "--to (2026-11-23) is too far ahead for rates to be known. Give 2026-11-22 at the latest.",
        ),
    ],
)
def test_fetch_refuses_a_range_that_is_none(the_bank: Bank, arguments: list[str], message: str) -> None:
    enter("2026-11-16", "80")
    with pytest.raises(CommandError) as refused:
        call_command("fetch_exchange_rates", *arguments)
    assert str(refused.value) == message
    assert the_bank.asked == []


def test_fetch_may_ask_three_days_beyond_tomorrow(fetched: Callable[..., str]) -> None:
    answer = rates(record("22.11.2026", "80"))
    assert fetched(answer, "--to", "2026-11-22") == "Saved 1 rate, 2026-11-22; newest: 80 RUB per USD.\n"


def test_fetch_all_or_none(the_bank: Bank, fetched: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    """An interrupted run leaves the table as it was."""
    enter("2026-11-17", "80")
    real = ExchangeRate.objects.bulk_create

    def half(new: list[ExchangeRate], **options: Any) -> None:
        real(new[:1], **options)
        raise KeyboardInterrupt

    monkeypatch.setattr(ExchangeRate.objects, "bulk_create", half)
    with pytest.raises(KeyboardInterrupt):
        fetched(rates(record("18.11.2026"), record("19.11.2026")))
    assert table() == [("2026-11-17", Decimal("80"), "cbr")]
