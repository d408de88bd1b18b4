"""`manage.py fetch_exchange_rates`: saves the Bank of Russia's USD/RUB exchange rates."""

from argparse import ArgumentParser
from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from django.core.management.base import CommandError
from django.utils import timezone

from usage_billing.conf import conf
from usage_billing.exchange_rates import bank_of_russia, saving
from usage_billing.exchange_rates.rates import CARRIED_DAYS
from usage_billing.management.commands.rebuild_daily import day
from usage_billing.management.ledger_command import LedgerCommand
from usage_billing.models import ExchangeRate

BANKS_ZONE = ZoneInfo("Europe/Moscow")
"""The bank's time zone decides on the day, whatever the project's zone."""
DAYS_AT_FIRST = 30
DAYS_AHEAD = 3
"""Days after tomorrow that `--to` may reach: before holidays the bank publishes the next working day's rate."""

WHAT_TO_DO = "Nothing was saved. Run it again later, check EXCHANGE_RATES_URL, or enter the rates in the admin."


class Command(LedgerCommand):
    help = "Fetch the Bank of Russia's USD/RUB rates, by default from the day after the newest saved one to tomorrow."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--from", dest="first", type=day, help="first day, as 2026-01-31")
        parser.add_argument("--to", dest="last", type=day, help="last day, included (default: tomorrow)")
        parser.add_argument(
            "--accept-jumps",
            action="store_true",
            help=f"save rates that are more than {saving.LARGEST_JUMP:.0%} away from the last known one",
        )

    def work(
        self, *args: Any, first: date | None, last: date | None, accept_jumps: bool = False, **options: Any
    ) -> None:
        today = timezone.localdate(timezone=BANKS_ZONE)
        tomorrow = today + timedelta(days=1)
        newest = _newest_of_the_bank(today)
        if first is None and last is None and newest >= tomorrow:
            self.stdout.write(f"Saved no rates: the one for {newest} is already saved; {_newest()}.")
            return
        first = first or newest + timedelta(days=1)
        last = last or tomorrow
        _check_range(first, last, tomorrow + timedelta(days=DAYS_AHEAD))
        try:
            answer = bank_of_russia.fetch(conf.EXCHANGE_RATES_URL, first, last)
            rates = bank_of_russia.read(answer, first, last)
            _expect_rates(rates, first, min(last, today))
            saved = saving.save(rates, accept_jumps=accept_jumps)
        except bank_of_russia.BankError as error:
            raise CommandError(f"{error} {WHAT_TO_DO}") from error
        except saving.RateJumpError as jump:
            raise CommandError(
                f"{jump} Nothing was saved. If the bank really says so, run it again with --accept-jumps; "
                "if the known rate is wrong, correct it in the admin first."
            ) from jump
        self.stdout.write(_sentence(saved, rates, first, last))


def _newest_of_the_bank(today: date) -> date:
    """Return the day of the newest rate from the bank; a month ago if there is none."""
    rates = ExchangeRate.objects.filter(source=ExchangeRate.Source.CBR)
    newest = rates.order_by("-date").values_list("date", flat=True).first()
    return newest or today - timedelta(days=DAYS_AT_FIRST + 1)


def _check_range(first: date, last: date, latest: date) -> None:
    if last < first:
        raise CommandError(f"There are no days from {first} to {last}. Give an earlier --from, or a later --to.")
    if last > latest:
        raise CommandError(f"--to ({last}) is too far ahead for rates to be known. Give {latest} at the latest.")


def _expect_rates(rates: dict[date, Decimal], first: date, last: date) -> None:
    """Raise `BankError` if the answer has no rate for longer than the bank ever pauses."""
    if not rates and (last - first).days >= CARRIED_DAYS:
        raise bank_of_russia.BankError(f"The answer has no rate at all for {_days(first, last)}.")


def _sentence(saved: saving.Saved, rates: dict[date, Decimal], first: date, last: date) -> str:
    by_hand = f"; kept {saved.by_hand} entered by hand" if saved.by_hand else ""
    if saved.rates:
        days, newest = list(saved.rates), list(saved.rates.values())[-1]
        count = f"{len(days)} rate" if len(days) == 1 else f"{len(days)} rates"
        return f"Saved {count}, {_days(days[0], days[-1])}; newest: {newest.normalize():f} RUB per USD{by_hand}."
    if rates:
        return f"Saved no rates: those for {_days(first, last)} are already saved; {_newest()}{by_hand}."
    return f"Saved no rates: the bank has none for {_days(first, last)} yet; {_newest()}."


def _days(first: date, last: date) -> str:
    return f"{first}" if first == last else f"{first} to {last}"


def _newest() -> str:
    newest = ExchangeRate.objects.exclude(source=ExchangeRate.Source.DEMO).order_by("date").last()
    return "none is known" if newest is None else f"newest: {newest.usd_rub.normalize():f} RUB per USD"
