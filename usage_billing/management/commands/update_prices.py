"""`manage.py update_prices`: saves genai-prices' newest price list, and prices the calls that waited for it."""

from argparse import ArgumentParser
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError
from django.db.models import Max, Min
from django.utils import timezone

from usage_billing.conf import conf
from usage_billing.costing import price_list, published_prices
from usage_billing.costing.price_list import Difference, PriceList, PriceListError
from usage_billing.costing.published_prices import Published
from usage_billing.ledger.repricing import Scope
from usage_billing.management.commands.rebuild_daily import day
from usage_billing.management.ledger_command import user
from usage_billing.management.reprice_command import RepriceCommand
from usage_billing.models import RepriceRun, UsageRecord

SHOWN = 5
"""Number of models that are named in a sentence."""
REASON = "update_prices"
"""How the reason of its repricings begins."""


class Command(RepriceCommand):
    help = (
        "Save genai-prices' newest published price list, which all processes of this machine use within a minute, and "
        "price the calls that waited for it. Costs that are known stay. A list that is older, or lacks too much, is "
        "refused."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--url", help='where the list is published (default: AI_COSTS["PRICES_URL"])')
        parser.add_argument("--file", type=Path, help="read the list from this file; the network is not used")
        parser.add_argument(
            "--day", type=day, help="day of the list, as 2026-01-31 (default: the day of its publication, else today)"
        )
        parser.add_argument(
            "--accept-losses", action="store_true", help="also save a list that is older or lacks many models"
        )
        parser.add_argument("--no-reprice", action="store_true", help="leave the calls that wait for a price")
        parser.add_argument("--dry-run", action="store_true", help="only show what would change")

    def work(
        self,
        *args: Any,
        url: str | None = None,
        file: Path | None = None,
        day: date | None = None,
        accept_losses: bool = False,
        no_reprice: bool = False,
        dry_run: bool = False,
        **options: Any,
    ) -> None:
        now = timezone.now()
        source = str(file or url or conf.PRICES_URL)
        published = _published(source, from_file=file is not None, now=now)
        day = day or published.day
        found, difference = _successor(published, day, accept_losses=accept_losses)
        if dry_run:
            self.stdout.write(f"{_sentence('Would save', found, difference)}")
            if (scope := _waiting()) is not None and not no_reprice:
                with price_list.replaced(found):
                    self.rehearse(scope)
            return
        if difference:
            _save(published, day, source)
            self.stdout.write(_sentence("Saved", found, difference))
        else:
            self.stdout.write("Saved nothing: these prices are in use already.")
        if not no_reprice:
            self._reprice(found, is_new=bool(difference), at=now)

    def _reprice(self, found: PriceList, *, is_new: bool, at: datetime) -> None:
        """Price the calls that wait for a price, after a new list; else only finish what was interrupted."""
        for run in RepriceRun.objects.filter(
            only_unpriced=True, finished_at=None, continued_by=None, reason__startswith=f"{REASON}: "
        ).order_by("id"):
            self.run(Scope.of_run(run), run)
        if is_new and (scope := _waiting()) is not None:
            self.run(scope, scope.start_run(by=user(), reason=f"{REASON}: {found.name}", at=at))


def _published(source: str, *, from_file: bool, now: datetime) -> Published:
    try:
        if not from_file:
            return published_prices.fetch(source, now)
        path = Path(source)
        return Published(path.read_bytes(), datetime.fromtimestamp(path.stat().st_mtime, UTC).date())
    except PriceListError as error:
        raise CommandError(
            f"No prices from {source}. {error} Nothing was changed. Run it again later, check PRICES_URL, or download "
            "the list on another machine and give it with --file."
        ) from error
    except OSError as error:
        raise CommandError(f"{source}: {error.strerror or error}. Nothing was changed.") from error


def _successor(published: Published, day: date, *, accept_losses: bool) -> tuple[PriceList, Difference]:
    """Return the published list, and how it differs from the one in use. Raises `CommandError` if it cannot follow."""
    path = Path(conf.PRICES_FILE)
    price_list.forget()
    before = price_list.get_snapshot()
    try:
        found = price_list.parse(published.content, day)
    except PriceListError as error:
        raise CommandError(f"The list cannot be used. {error} Nothing was changed.") from error
    if not accept_losses:
        saved = price_list.saved_day(path)
        try:
            if saved is not None and day < saved:
                raise PriceListError(f"It is of {day}, and the saved list is of {saved}.")
            price_list.expect_successor(before, found)
        except PriceListError as error:
            raise CommandError(
                f"The list is refused. {error} Nothing was changed. If you want it all the same, run it again with "
                "--accept-losses."
            ) from error
    return found, price_list.compare(before, found)


def _save(published: Published, day: date, source: str) -> None:
    path = Path(conf.PRICES_FILE)
    try:
        price_list.save(published.content, path=path, day=day, source=source)
    except OSError as error:
        raise CommandError(
            f"{path} cannot be written: {error.strerror or error}. Nothing was changed. Run it as the user of the "
            'service, or set AI_COSTS["PRICES_FILE"] to a file in a folder that this user may write.'
        ) from error


def _waiting() -> Scope | None:
    """Return the scope of the calls whose cost is unknown; None if there are none."""
    days = UsageRecord.objects.filter(cost_usd=None).aggregate(first=Min("usage_date"), last=Max("usage_date"))
    return None if days["first"] is None else Scope(days["first"], days["last"], only_unpriced=True)


def _sentence(verb: str, found: PriceList, difference: Difference) -> str:
    parts = [
        f"{len(models):,} {word}{_examples(models)}"
        for word, models in (("new", difference.new), ("changed", difference.changed), ("gone", difference.lost))
        if models
    ]
    return f"{verb} {found.name}, models: {'; '.join(parts) or 'as before'}."


def _examples(models: Any) -> str:
    more = ", …" if len(models) > SHOWN else ""
    return f" ({', '.join(models[:SHOWN])}{more})"
