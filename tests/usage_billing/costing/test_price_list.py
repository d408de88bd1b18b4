"""The saved price list: read by every process, replaced as a whole, refused when it is older or broken."""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import sys
import threading
import time
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import genai_prices.types
import pytest
from genai_prices import Usage, data_snapshot

from tests.support import price_lists
from usage_billing.conf import conf
from usage_billing.costing import price_list, pricing
from usage_billing.costing.metering import Line, Metered
from usage_billing.costing.price_list import INSTALLED, PriceListError
from usage_billing.reports import token_prices

DAY = date(2026, 11, 27)
NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)
TOKENS = Metered(lines=(Line(Usage(input_tokens=1000, output_tokens=100)),))


def save(published: bytes, day: date = DAY) -> Path:
    path = Path(conf.PRICES_FILE)
    price_list.save(published, path=path, day=day, source="test")
    return path


def priced(model: str) -> tuple[Decimal | None, str]:
    found = pricing.price("openai", model, TOKENS, {}, at=NOON)
    return found.usd, found.source


def test_the_private_function_that_reads_published_json_is_there() -> None:
    """pyproject.toml holds genai-prices below 0.3 for it."""
    assert callable(genai_prices.types._providers_from_raw)
    project = (Path(__file__).parents[3] / "pyproject.toml").read_text()
    assert re.search(r'"genai-prices>=[\d.]+,<0\.3"', project)


def test_the_installed_list_reads_back_from_its_published_form() -> None:
    found = price_list.parse(json.dumps(price_lists.installed()).encode(), DAY)
    assert not price_list.compare(data_snapshot.get_snapshot(), found)
    assert price_list.newest_price(found) == price_list.newest_price(data_snapshot.get_snapshot()) > date(2026, 1, 1)


def test_without_a_file_the_installed_list_prices() -> None:
    assert priced("gpt-99") == (None, "unpriced:unknown-model")
    assert priced("gpt-4.1-mini") == (Decimal("0.00056"), f"{INSTALLED}:openai/gpt-4.1-mini")


def test_a_saved_list_prices_and_is_named_with_its_day() -> None:
    assert token_prices.token_prices("openai", "gpt-99", DAY) is None
    path = save(price_lists.newer())
    assert priced("gpt-99") == (Decimal("0.0012"), f"{INSTALLED}+2026-11-27:openai/gpt-99")
    assert priced("gpt-4.1-mini") == (Decimal("0.0056"), f"{INSTALLED}+2026-11-27:openai/gpt-4.1-mini")
    compared = token_prices.token_prices("openai", "gpt-99", DAY)
    assert compared is not None
    assert compared.prompt == Decimal("0.000001")
    assert path.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in path.parent.iterdir() if "prices" in each.name] == ["prices.json"]


def test_a_process_looks_at_the_file_once_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    assert priced("gpt-99")[0] is None
    path = Path(conf.PRICES_FILE)
    other = path.with_name("written-by-another-process")
    price_list.save(price_lists.newer(), path=other, day=DAY, source="test")
    price_list.forget()
    assert priced("gpt-99")[0] is None
    os.replace(other, path)
    clock[0] += price_list.CHECK_EVERY_S - 1
    assert priced("gpt-99")[0] is None
    clock[0] += 1
    assert priced("gpt-99")[0] == Decimal("0.0012")
    path.unlink()
    clock[0] += price_list.CHECK_EVERY_S
    assert priced("gpt-99")[0] is None


@pytest.mark.parametrize(
    "broken", [b"", b"{", b"[]", b'{"day": "2026-11-27"}', b'{"day": 7, "genai_prices": "", "providers": []}', b"\xff"]
)
def test_a_broken_file_changes_nothing_and_is_logged_once(
    broken: bytes, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    path = save(price_lists.newer())
    assert priced("gpt-99")[0] == Decimal("0.0012")
    path.write_bytes(broken)
    with caplog.at_level(logging.ERROR, "usage_billing.costing.price_list"):
        for _ in range(3):
            clock[0] += price_list.CHECK_EVERY_S
            assert priced("gpt-99")[0] == Decimal("0.0012")
    assert [record.message.startswith(f"The price list {path} is not used: ") for record in caplog.records] == [True]


def test_a_newer_package_wins_over_the_file_if_its_prices_are_newer(monkeypatch: pytest.MonkeyPatch) -> None:
    def with_older_prices(days: Any) -> Any:
        if isinstance(days, dict):
            return {
                key: "2025-01-01" if key == "start_date" else with_older_prices(value) for key, value in days.items()
            }
        return [with_older_prices(each) for each in days] if isinstance(days, list) else days

    older = json.dumps(with_older_prices(json.loads(price_lists.newer()))).encode()
    save(older)
    assert priced("gpt-99")[0] == Decimal("0.0012")
    monkeypatch.setattr(price_list, "INSTALLED", "genai-prices 0.2.9")
    price_list.forget()
    assert priced("gpt-99")[0] is None
    monkeypatch.setattr(price_list, "INSTALLED", INSTALLED)
    save(price_lists.newer())
    monkeypatch.setattr(price_list, "INSTALLED", "genai-prices 0.2.9")
    price_list.forget()
    assert priced("gpt-99")[0] == Decimal("0.0012")


# ── What may follow ──────────────────────────────────────────────────────────────────────────────────────────────


def refused(change: Any) -> str:
    raw = price_lists.installed()
    found = price_list.parse(json.dumps(change(raw)).encode(), DAY)
    with pytest.raises(PriceListError) as error:
        price_list.expect_successor(data_snapshot.get_snapshot(), found)
    return str(error.value)


def test_a_list_that_lacks_a_provider_is_refused() -> None:
    message = refused(lambda raw: [provider for provider in raw if provider["id"] != "anthropic"])
    assert message == "It lacks providers that are known today: anthropic."


def test_a_list_that_lacks_more_than_a_tenth_of_the_models_is_refused() -> None:
    def shortened(raw: price_lists.Raw) -> price_lists.Raw:
        return [provider | {"models": provider["models"][: len(provider["models"]) // 2 + 1]} for provider in raw]

    assert re.fullmatch(r"It lacks [\d,]+ of the [\d,]+ models that are known today\.", refused(shortened))


def test_an_older_list_is_refused() -> None:
    newest = price_list.newest_price(data_snapshot.get_snapshot()).isoformat()

    def older(raw: price_lists.Raw) -> Any:
        return json.loads(json.dumps(raw).replace(f'"start_date": "{newest}"', '"start_date": "2025-01-01"'))

    assert refused(older).startswith("It is older than today's list: its newest price begins on 20")


def test_a_list_that_loses_a_few_models_is_accepted() -> None:
    def fewer(openai: dict[str, Any]) -> None:
        del openai["models"][-3:]

    before, found = data_snapshot.get_snapshot(), price_list.parse(price_lists.newer(fewer), DAY)
    price_list.expect_successor(before, found)
    difference = price_list.compare(before, found)
    assert difference.new == ["openai/gpt-99"]
    assert "openai/gpt-4.1-mini" in difference.changed
    assert len(difference.lost) == 3


@pytest.mark.parametrize(
    "published",
    [
        b"<html>",
        b"{}",
        b"[]",
        b"[1]",
        b'[{"id": "openai"}]',
        b'[{"id":"x","name":"X","api_pattern":"x","models":[{"id":"m","match":{"equals":"m"},"prices":{"moon_mtok":1}}]}]',
        b'[{"id":"x","name":"X","api_pattern":"x","models":[{"id":"m","match":{"equals":"m"},"prices":{"input_mtok":-1}}]}]',
        b"[" * 100_000,
    ],
)
def test_anything_else_is_refused_in_a_sentence(published: bytes) -> None:
    with pytest.raises(PriceListError) as error:
        price_list.parse(published, DAY)
    assert str(error.value).endswith(".")


# ── Other processes ──────────────────────────────────────────────────────────────────────────────────────────────


def test_a_reader_beside_a_writer_sees_one_list_or_the_other() -> None:
    one, two = price_lists.newer(), json.dumps(price_lists.installed()).encode()
    path = save(one)
    stop, problems, seen = threading.Event(), [], set()

    def read() -> None:
        while not stop.is_set():
            try:
                seen.add(price_list.load(path).name)
            except Exception as error:  # noqa: BLE001 - whatever it is, the test fails with it
                problems.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(6):
        save(two if number % 2 else one, date(2026, 11, 1 + number % 2))
    stop.set()
    reader.join()
    assert problems == []
    assert seen <= {f"{INSTALLED}+2026-11-{day}" for day in ("01", "02", "27")}


def test_another_process_prices_by_the_saved_list() -> None:
    save(price_lists.newer())
    script = f"""
import django
from django.conf import settings
settings.configure(AI_COSTS={{"PRICES_FILE": {conf.PRICES_FILE!r}}}, INSTALLED_APPS=[])
from usage_billing.costing import price_list
snapshot = price_list.get_snapshot()
model = snapshot.find_provider_model("gpt-99", None, "openai", None)[1]
print(price_list.name_of(snapshot), model.prices.input_mtok)
"""
    environment = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == f"{INSTALLED}+2026-11-27 1\n"
