"""`update_prices` with a real server on loopback and with files; what it refuses, and which calls it prices."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError
from django.utils import timezone
from pytest_django import Settings

from tests.support import bank, factories, price_lists
from tests.support.bank import Bank
from tests.support.configure import configure
from tests.support.factories import event, own_price
from usage_billing.conf import conf
from usage_billing.costing import price_list
from usage_billing.costing.price_list import INSTALLED
from usage_billing.ledger import repricing, writer
from usage_billing.models import Organization, RepriceRun, UsageRecord

pytestmark = pytest.mark.django_db


@pytest.fixture
def publisher(settings: Settings) -> Iterator[Bank]:
    """Publishes the newer list, as of 27 November 2026."""
    with bank.running() as server:
        server.answer = published()
        configure(settings, PRICES_URL=f"http://127.0.0.1:{server.port}/data.json")
        yield server


def published(content: bytes | None = None, status: int = 200, **more: str) -> bank.Answer:
    headers = {"Content_Type": "text/plain; charset=utf-8", "Last_Modified": "Fri, 27 Nov 2026 08:00:00 GMT"}
    return bank.body(price_lists.newer() if content is None else content, status, **headers, **more)


@pytest.fixture
def printed(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    def run(*arguments: Any) -> str:
        capsys.readouterr()
        call_command("update_prices", *arguments)
        return capsys.readouterr().out

    return run


@pytest.fixture
def org() -> Organization:
    """A priced call of gpt-4.1-mini and, on two days, unpriced calls of gpt-99; one that no list will ever price."""
    org = factories.organization()
    factories.rate()
    earlier = datetime(2026, 10, 2, 9, tzinfo=UTC)
    writer.add(
        [
            event(org=org),
            event(org=org, model="gpt-99", at=earlier),
            event(org=org, model="gpt-99"),
            event(org=org, model="gpt-98"),
        ]
    )
    return org


def costs() -> list[tuple[Decimal | None, str]]:
    return list(UsageRecord.objects.order_by("id").values_list("cost_usd", "price_source"))


BEFORE = [
    (Decimal("0.00056"), f"{INSTALLED}:openai/gpt-4.1-mini"),
    (None, "unpriced:unknown-model"),
    (None, "unpriced:unknown-model"),
    (None, "unpriced:unknown-model"),
]
NAME = f"{INSTALLED}+2026-11-27"
PRICED = (Decimal("0.0012"), f"{NAME}:openai/gpt-99")
AFTER = [BEFORE[0], PRICED, PRICED, BEFORE[3]]
SAVED = f"Saved {NAME}, models: 1 new (openai/gpt-99); 1 changed (openai/gpt-4.1-mini).\n"


def test_the_newest_list_is_saved_and_prices_the_calls_that_waited(
    publisher: Bank, printed: Callable[..., str], org: Organization
) -> None:
    assert costs() == BEFORE
    said = printed()
    assert said.startswith(SAVED)
    assert "records seen  3\n   records changed  2" in said
    # A known cost stays, though the list now has another price for it: guarantee 7.
    assert costs() == AFTER
    run = RepriceRun.objects.get()
    assert (run.reason, run.only_unpriced, run.records_changed) == (f"update_prices: {NAME}", True, 2)
    assert (run.date_from, run.date_to) == (date(2026, 10, 2), date(2026, 11, 18))
    assert run.finished_at is not None
    call_command("check_usage")
    content = json.loads(Path(conf.PRICES_FILE).read_bytes())
    assert (content["source"], content["day"]) == (conf.PRICES_URL, "2026-11-27")
    # New calls cost what the list says.
    writer.add([event(org=org)])
    assert costs()[-1] == (Decimal("0.0056"), f"{NAME}:openai/gpt-4.1-mini")


def test_the_same_list_again_changes_nothing(publisher: Bank, printed: Callable[..., str], org: Organization) -> None:
    printed()
    assert printed() == "Saved nothing: these prices are in use already.\n"
    assert RepriceRun.objects.count() == 1


def test_a_dry_run_shows_both_and_writes_nothing(
    publisher: Bank, printed: Callable[..., str], org: Organization
) -> None:
    said = printed("--dry-run")
    assert said.startswith(SAVED.replace("Saved", "Would save") + "Nothing was written. This would change:\n")
    assert "without USD  2 → 0" in said
    assert costs() == BEFORE
    assert not Path(conf.PRICES_FILE).exists()
    assert not RepriceRun.objects.exists()
    assert price_list.name_of(price_list.get_snapshot()) == INSTALLED


def test_calls_can_be_left_for_later(publisher: Bank, printed: Callable[..., str], org: Organization) -> None:
    assert printed("--no-reprice") == SAVED
    assert costs() == BEFORE
    days = ("--from", "2026-01-01", "--to", "2026-12-31")
    call_command("reprice_usage", *days, "--unpriced", "--reason", "later")
    assert costs() == AFTER


def test_without_calls_that_wait_nothing_is_logged(publisher: Bank, printed: Callable[..., str]) -> None:
    assert printed() == SAVED
    assert not RepriceRun.objects.exists()


def test_a_price_override_stays_first(publisher: Bank, printed: Callable[..., str], org: Organization) -> None:
    own_price(model_pattern="gpt-99")
    printed()
    assert [source.partition(":")[0] for _, source in costs()][1:3] == ["override", "override"]


def test_an_interrupted_repricing_is_continued_by_the_next_run(
    publisher: Bank, printed: Callable[..., str], org: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repricing, "BATCH", 1)
    change = writer.apply_changes
    done: list[Any] = []

    def once(*arguments: Any) -> Any:
        if done:
            raise OperationalError("the server went away")
        done.append(1)
        return change(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(writer, "apply_changes", once)
        with pytest.raises(CommandError, match="The database gave up"):
            printed()
    assert costs() == [BEFORE[0], PRICED, *BEFORE[2:]]
    assert "Run" in printed()
    assert costs() == AFTER
    run = RepriceRun.objects.get()
    assert run.finished_at is not None
    assert run.records_changed == 2


# ── Files ────────────────────────────────────────────────────────────────────────────────────────────────────────


def written(path: Path, content: bytes, day: date = date(2026, 11, 20)) -> Path:
    path.write_bytes(content)
    moment = datetime(day.year, day.month, day.day, 12, tzinfo=UTC).timestamp()
    os.utime(path, (moment, moment))
    return path


def test_a_file_is_read_without_the_network(
    publisher: Bank, printed: Callable[..., str], org: Organization, tmp_path: Path
) -> None:
    file = written(tmp_path / "data.json", price_lists.newer())
    assert printed("--file", file).startswith(f"Saved {INSTALLED}+2026-11-20, models: 1 new")
    assert publisher.asked == []
    assert costs()[1] == (Decimal("0.0012"), f"{INSTALLED}+2026-11-20:openai/gpt-99")


def test_the_day_of_a_file_can_be_given(printed: Callable[..., str], tmp_path: Path) -> None:
    file = written(tmp_path / "data.json", price_lists.newer())
    assert printed("--file", file, "--day", "2026-11-26").startswith(f"Saved {INSTALLED}+2026-11-26,")


# ── Refusals: everything stays as it was ─────────────────────────────────────────────────────────────────────────


def refused(*arguments: Any) -> str:
    """Run a refused command, and return its message. Nothing changes, neither calls nor the saved list."""
    path = Path(conf.PRICES_FILE)
    before = (costs(), path.read_bytes() if path.exists() else None, price_list.name_of(price_list.get_snapshot()))
    with pytest.raises(CommandError) as error:
        call_command("update_prices", *arguments)
    price_list.forget()
    assert before == (
        costs(),
        path.read_bytes() if path.exists() else None,
        price_list.name_of(price_list.get_snapshot()),
    )
    assert error.value.returncode == 1
    return str(error.value)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (published(b"gone", 404), "The server answered with status 404."),
        (published(b"", 302, Location="https://example.org"), "The server answered with status 302."),
        (published(b"<html>"), "It is not JSON"),
        (published(b'{"a": 1}'), "It is not an array of providers."),
        (published(price_lists.newer()[:-5]), "It is not JSON"),
        (published(b'[{"id": "openai"}]'), "cannot read it"),
        (published(json.dumps(price_lists.installed()[:3]).encode()), "It lacks providers that are known today"),
        (lambda handler: handler.connection.close(), "The server did not answer"),
    ],
)
def test_a_bad_answer_leaves_everything_as_it_was(
    publisher: Bank, org: Organization, answer: bank.Answer, said: str
) -> None:
    publisher.answer = answer
    message = refused()
    assert said in message
    assert "Nothing was changed." in message


def test_a_server_that_is_away_leaves_everything_as_it_was(settings: Settings, org: Organization) -> None:
    configure(settings, PRICES_URL="http://127.0.0.1:9/data.json")
    message = refused()
    assert message.startswith("No prices from http://127.0.0.1:9/data.json. The server did not answer: ")
    assert message.endswith("give it with --file.")


def test_a_list_of_an_earlier_day_is_refused_unless_it_is_accepted(
    publisher: Bank, printed: Callable[..., str], org: Organization, tmp_path: Path
) -> None:
    printed()
    older = written(tmp_path / "data.json", json.dumps(price_lists.installed()).encode())
    assert "It is of 2026-11-20, and the saved list is of 2026-11-27." in refused("--file", older)
    assert printed("--file", older, "--accept-losses").startswith(f"Saved {INSTALLED}+2026-11-20, models: 1 changed")
    assert costs() == AFTER


def test_a_corrupt_file_and_a_missing_one_are_refused(org: Organization, tmp_path: Path) -> None:
    assert "It is not JSON" in refused("--file", written(tmp_path / "data.json", b"\x00\x01"))
    assert refused("--file", tmp_path / "none.json").startswith(f"{tmp_path / 'none.json'}: No such file")


def test_a_place_that_cannot_be_written_is_named(
    publisher: Bank, org: Organization, settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    configure(settings, PRICES_FILE=str(tmp_path / "file" / "prices.json"))
    with pytest.raises(CommandError, match=r'cannot be written.*Nothing was changed.*"PRICES_FILE"'):
        call_command("update_prices")
    assert costs() == BEFORE


# ── Other processes ──────────────────────────────────────────────────────────────────────────────────────────────


def test_a_list_that_another_process_saves_prices_the_calls_of_this_one(
    publisher: Bank, org: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The timer's process saves; the drain that runs already takes the new list at its next look."""
    script = f"""
import django
from django.conf import settings
settings.configure(
    AI_COSTS={{"PRICES_FILE": {conf.PRICES_FILE!r}, "PRICES_URL": {conf.PRICES_URL!r}, "OUTBOX_PATH": "unused"}},
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "usage_billing"],
    DATABASES={{"default": {{"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}}},
    USE_TZ=True,
)
django.setup()
from django.core.management import call_command
call_command("update_prices", "--no-reprice")
"""
    clock = [1000.0]
    monkeypatch.setattr("usage_billing.costing.price_list.time.monotonic", lambda: clock[0])
    price_list.forget()
    writer.add([event(org=org, model="gpt-99")])
    environment = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=100)
    assert (done.stdout, done.returncode) == (SAVED, 0), done.stderr
    writer.add([event(org=org, model="gpt-99", at=timezone.now())])
    clock[0] += price_list.CHECK_EVERY_S
    writer.add([event(org=org, model="gpt-99", at=timezone.now())])
    assert costs()[-3:] == [BEFORE[1], BEFORE[1], PRICED]
