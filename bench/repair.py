"""`python -m bench.repair`: for each line of input, measures a round of repair beside a writer; prints JSON.

Of the database of DATABASE_URL, which `bench.data` has filled. Calls a second, and the writer's longest wait in ms.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path
from subprocess import Popen
from typing import TYPE_CHECKING

import django
from django.db import connection, transaction
from django.utils import timezone

from bench import workers

if TYPE_CHECKING:
    from usage_billing.ledger.repricing import Batch, Scope

CALLS = int(os.environ.get("BENCH_CALLS", "1000000"))
REBUILT_DAYS = 14
REPRICED_DAYS = 7
MODEL, PROVIDER = "gpt-6-luna", "openai"
"""The model of a quarter of all calls."""
ALONE_S = 1

Figures = dict[str, float]


def main() -> None:
    django.setup()
    from usage_billing.tenancy import roles

    with roles.for_the_session(roles.LEDGER), workers.worker("bench.waiting", "", dict(os.environ)) as writer:
        measured_round(writer)  # warm-up
        for _ in sys.stdin:
            print(json.dumps(measured_round(writer)), flush=True)


def measured_round(writer: Popen[str]) -> Figures:
    _longest_wait(writer)
    time.sleep(ALONE_S)
    figures = {"alone, wait": _longest_wait(writer)}
    for name, task in TASKS.items():
        steps = task()
        next(steps)  # preparation is not measured
        _longest_wait(writer)
        began = time.perf_counter()
        calls = sum(steps)
        figures[name] = calls / (time.perf_counter() - began)
        figures[f"{name}, wait"] = _longest_wait(writer)
    return figures


def _longest_wait(writer: Popen[str]) -> float:
    """Return the longest wait in ms since the last call of this function."""
    waits: workers.Figures = {}
    workers.measure_once(writer, waits)
    (longest,) = waits["longest"]
    return longest


# ── Tasks: each prepares, yields 0, then yields the number of calls done ────────────────────────────────────────


def rebuilt() -> Iterator[int]:
    from usage_billing.ledger import consistency
    from usage_billing.ledger import writer as ledger
    from usage_billing.models import DailyUsage

    days = _last_days(REBUILT_DAYS)
    calls = {day: consistency.calls_on([day]) for day in days}
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("LOCK TABLE token_usage_daily")  # writers lock rollup rows in another order
        DailyUsage.objects.filter(usage_date__in=days).delete()
    yield 0
    for day in days:
        assert ledger.rebuild_day(day)
        yield calls[day]


def checked() -> Iterator[int]:
    from usage_billing.ledger import consistency

    yield 0
    for day in _last_days(REBUILT_DAYS):
        assert not consistency.differences(day)
        assert not consistency.inconsistent_records(day)
        yield consistency.calls_on([day])


def rehearsed() -> Iterator[int]:
    from usage_billing.costing.overrides import PriceOverrides
    from usage_billing.ledger import repricing

    scope = _scope_of_another_price()
    yield 0
    yield from _seen(repricing.rehearse(scope, PriceOverrides.load()))


def repriced() -> Iterator[int]:
    from usage_billing.costing.overrides import PriceOverrides
    from usage_billing.ledger import repricing

    scope = _scope_of_another_price()
    run = scope.start_run(by="bench", reason="the benchmark", at=timezone.now())
    yield 0
    yield from _seen(repricing.reprice(scope, run, PriceOverrides.load()))
    repricing.finish(run, at=timezone.now())


def _seen(batches: Iterator[Batch]) -> Iterator[int]:
    changed = seen = 0
    for batch in batches:
        changed += len(batch.changes)
        seen += batch.seen
        yield batch.seen
    assert changed > 0.9 * seen > 0  # failed calls cost nothing


def archived() -> Iterator[int]:
    from usage_billing.archive import archiving

    yield 0
    outcome = archiving.archive(
        _last_month(),
        directory=Path(os.environ["USAGE_ARCHIVE_DIR"]),
        by="bench",
        at=timezone.now(),
        advance=lambda _: None,
    )
    assert outcome.removed == outcome.file.calls > 0
    yield outcome.removed


def restored() -> Iterator[int]:
    from usage_billing.archive import archiving

    yield 0
    for file in archiving.files_of(_last_month()):
        came = archiving.restore(file, lambda _: None)
        assert came == file.calls
        yield came


TASKS: dict[str, Callable[[], Iterator[int]]] = {
    "rebuild_daily": rebuilt,
    "check_usage": checked,
    "reprice_usage --dry-run": rehearsed,
    "reprice_usage": repriced,
    "archive_usage": archived,
    "restore_usage": restored,
}


def _last_days(number: int) -> list[date]:
    today = timezone.localdate()
    return [today - timedelta(days=ago) for ago in reversed(range(number))]


def _last_month() -> date:
    return (timezone.localdate().replace(day=1) - timedelta(days=1)).replace(day=1)


_cents = itertools.count(25)


def _scope_of_another_price() -> Scope:
    """Change the model's price. Returns the scope of its last days."""
    from usage_billing.ledger.repricing import Scope
    from usage_billing.models import PriceOverride
    from usage_billing.tenancy import roles

    prices = dict.fromkeys(("input_mtok", "output_mtok", "cache_read_mtok"), f"{next(_cents) / 100}")
    with roles.applied(roles.Setting()):  # the ledger's role may not change prices
        PriceOverride.objects.update_or_create(
            provider=PROVIDER, model_pattern=MODEL, valid_from=date(2000, 1, 1), defaults={"prices": prices}
        )
    days = _last_days(REPRICED_DAYS)
    return Scope(days[0], days[-1], MODEL)


if __name__ == "__main__":
    main()
