"""`reprice_usage` on the command line: output, refused arguments, resuming after an interruption."""

from __future__ import annotations

import getpass
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError

from tests.support import factories
from tests.support.factories import TODAY, chat_usage, event, own_price
from usage_billing.ledger import repricing, writer
from usage_billing.models import Organization, RepriceRun, UsageRecord

pytestmark = pytest.mark.django_db

DAYS = ("--from", "2026-11-01", "--to", "2026-11-30")
WHY = ("--reason", "a new contract")


@pytest.fixture
def printed(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    def run(*arguments: Any) -> str:
        capsys.readouterr()
        call_command("reprice_usage", *arguments)
        return capsys.readouterr().out

    return run


@pytest.fixture
def org() -> Organization:
    """Two unpriced calls of gpt-99, and one call of gpt-4.1-mini."""
    org = factories.organization()
    factories.rate()
    writer.add([event(org=org), event(org=org, model="gpt-99"), event(org=org, model="gpt-99")])
    return org


TABLE = """\
      records seen  3
   records changed  3
     of these: USD  $0.00056 → $0.0036 (+$0.00304)
               RUB  ₽0.0448 → ₽0.288 (+₽0.2432)
       without USD  2 → 0
       without RUB  2 → 0
Largest changes by model:
  gpt-99: $0 → $0.0024, 2 records
  gpt-4.1-mini: $0.00056 → $0.0012, 1 records
"""


def test_dry_run_shows_what_would_change_and_needs_no_reason(printed: Callable[..., str], org: Organization) -> None:
    own_price()
    assert printed(*DAYS, "--dry-run") == "Nothing was written. This would change:\n" + TABLE
    assert not RepriceRun.objects.exists()
    assert not UsageRecord.objects.filter(price_source__startswith="override:").exists()


def test_run_shows_the_same_and_is_logged(printed: Callable[..., str], org: Organization) -> None:
    own_price()
    said = printed(*DAYS, *WHY, "--by", "anna")
    run = RepriceRun.objects.get()
    assert said == f"Run {run.pk} by anna is finished: 3 records seen.\n" + TABLE
    assert (run.by, run.reason, run.date_from, run.date_to) == (
        "anna",
        "a new contract",
        date(2026, 11, 1),
        date(2026, 11, 30),
    )
    assert (run.model, run.org, run.with_rates) == ("", None, False)
    assert run.finished_at is not None
    assert run.finished_at >= run.started_at
    call_command("check_usage")
    # A second run changes nothing, and is logged too.
    said = printed(*DAYS, *WHY)
    assert "records changed  0\n     of these: USD  $0 → $0 (+$0)\n" in said
    assert "Largest" not in said
    assert list(RepriceRun.objects.order_by("id").values_list("by", flat=True)) == ["anna", getpass.getuser()]


def test_model_organisation_and_rates_narrow_and_are_logged(printed: Callable[..., str], org: Organization) -> None:
    own_price()
    other = factories.organization()
    writer.add([event(org=other, model="gpt-99")])
    said = printed(*DAYS, *WHY, "--model", "gpt-99", "--org", org.slug, "--rates")
    assert "3 records seen" not in said
    run = RepriceRun.objects.get()
    assert (run.model, run.org, run.with_rates, run.records_seen) == ("gpt-99", org, True, 2)


def test_costs_can_fall(printed: Callable[..., str], org: Organization) -> None:
    own_price("gpt-4.1-mini", {"input_mtok": "0", "output_mtok": "0"})
    assert "USD  $0.00056 → $0 (−$0.00056)\n" in printed(*DAYS, "--dry-run")


def test_at_most_five_models_are_listed(printed: Callable[..., str]) -> None:
    org = factories.organization()
    own_price()
    writer.add([event(org=org, model=f"gpt-9{n}", usage=chat_usage(1000 * n, 1)) for n in range(1, 8)])
    own_price("*", {"input_mtok": "3", "output_mtok": "2"}, org=org)
    lines = printed(*DAYS, "--dry-run").partition("by model:\n")[2].splitlines()
    assert [line.split(":")[0].strip() for line in lines] == ["gpt-97", "gpt-96", "gpt-95", "gpt-94", "gpt-93"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--from", "2026-11-31", "--to", "2026-12-01", *WHY], "“2026-11-31” is not a date"),
        (["--from", "2026-11-02", "--to", "2026-11-01", *WHY], "--to (2026-11-01) is before --from (2026-11-02)."),
        ([*DAYS, "--org", "nobody", *WHY], "There is no organisation “nobody”. Its slug stands in the admin's list."),
        ([*DAYS], "Give the reason with --reason"),
        ([*DAYS, "--reason", " "], "Give the reason with --reason"),
        ([*DAYS, "--resume"], "There is no unfinished run with these arguments. Run it without --resume."),
        ([*DAYS, "--resume", "--dry-run"], "--dry-run leaves nothing to resume."),
        ([*WHY], "Error: the following arguments are required: --from, --to"),
    ],
)
def test_what_it_cannot_do_is_refused_with_what_to_do(arguments: list[str], message: str) -> None:
    with pytest.raises(CommandError) as refused:
        call_command("reprice_usage", *arguments)
    assert str(refused.value).startswith(message)
    assert not RepriceRun.objects.exists()


def stopped_after(batches: int, by: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stop within the batch after that many."""
    add_to_rollups, calls = writer._add_to_rollups, iter(range(batches))

    def stopping(*arguments: Any) -> None:
        if next(calls, None) is None:
            raise by
        add_to_rollups(*arguments)

    monkeypatch.setattr(writer, "_add_to_rollups", stopping)


@pytest.fixture
def single(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repricing, "BATCH", 1)


@pytest.mark.parametrize(
    ("by", "message", "code"),
    [
        (KeyboardInterrupt(), "Interrupted. ", 130),
        (OperationalError("server closed the connection"), "The database gave up: server closed the connection. ", 1),
    ],
)
@pytest.mark.usefixtures("single")
def test_interrupted_it_says_how_to_go_on(
    printed: Callable[..., str],
    org: Organization,
    monkeypatch: pytest.MonkeyPatch,
    by: BaseException,
    message: str,
    code: int,
) -> None:
    own_price()
    with monkeypatch.context() as patched:
        stopped_after(2, by, patched)
        with pytest.raises(CommandError) as stopped:
            call_command("reprice_usage", *DAYS, *WHY, "--by", "anna")
    run = RepriceRun.objects.get()
    assert str(stopped.value) == (
        f"{message}Run {run.pk} keeps what is done; continue it with --resume and the same arguments."
    )
    assert stopped.value.returncode == code
    assert (run.records_seen, run.finished_at) == (2, None)
    call_command("check_usage")

    said = printed(*DAYS, "--resume")

    assert said == (
        f"Run {run.pk} by anna is finished: 3 records seen, 1 of them since it was resumed.\n"
        + TABLE.partition("Largest")[0]
        + "Largest changes by model since it was resumed:\n  gpt-99: $0 → $0.0012, 1 records\n"
    )
    call_command("check_usage")
    assert RepriceRun.objects.get().usd_after == Decimal("0.0036")
    with pytest.raises(CommandError, match="There is no unfinished run"):
        call_command("reprice_usage", *DAYS, "--resume")


@pytest.mark.usefixtures("single")
def test_only_the_run_of_the_same_arguments_is_resumed(
    printed: Callable[..., str], org: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_price()
    with monkeypatch.context() as patched:
        stopped_after(1, KeyboardInterrupt(), patched)
        with pytest.raises(CommandError):
            call_command("reprice_usage", *DAYS, *WHY, "--org", org.slug)
    for others in ([], ["--org", org.slug, "--rates"], ["--org", org.slug, "--model", "gpt-99"]):
        with pytest.raises(CommandError, match="There is no unfinished run"):
            call_command("reprice_usage", *DAYS, *others, "--resume")
    # A new run says that it starts over, and changes nothing.
    first = RepriceRun.objects.get()
    said = printed(*DAYS, *WHY, "--org", org.slug)
    assert said.startswith(
        f"Run {first.pk} with the same arguments was interrupted after 1 records. "
        "This run starts over; --resume would have continued it.\n"
    )
    assert [run.records_changed for run in RepriceRun.objects.order_by("id")] == [1, 2]
    call_command("check_usage")


def test_another_process_on_the_same_run_stops_this_one(org: Organization, monkeypatch: pytest.MonkeyPatch) -> None:
    def taken(*_arguments: Any) -> Any:
        raise repricing.RunInProgressError("Another process is at work on run 7.")

    monkeypatch.setattr(repricing, "_expect_ours", taken)
    with pytest.raises(CommandError, match=r"Another process is at work on run 7\. Wait for it"):
        call_command("reprice_usage", *DAYS, *WHY)


def test_days_are_those_of_the_calls_and_the_last_is_included(printed: Callable[..., str], org: Organization) -> None:
    assert "records seen  3" in printed("--from", str(TODAY), "--to", str(TODAY), "--dry-run")
    assert "records seen  0" in printed("--from", "2026-11-19", "--to", "2026-11-30", "--dry-run")


@pytest.mark.parametrize(
    ("narrowed", "seen"),
    [
        (("--model", "gpt-9*"), 2),
        (("--model", "*", "--provider", "OpenAI"), 3),
        (("--model", "gpt-4*", "--provider", "anthropic"), 0),
    ],
)
def test_pattern_of_models_and_provider_narrow_the_run(
    printed: Callable[..., str], org: Organization, narrowed: tuple[str, ...], seen: int
) -> None:
    assert f"records seen  {seen}\n" in printed(*DAYS, *narrowed, "--dry-run")
