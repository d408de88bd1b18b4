"""`python -m bench.commands`: each command that goes through the ledger, once for each line of input, as JSON.

Of the database of DATABASE_URL, which `bench.data` has filled. Command → seconds, without the start of the process.
"""

from __future__ import annotations

import io
import json
import os
import secrets
import sys
import time
from datetime import date, timedelta
from pathlib import Path

import django
from django.core.management import call_command
from django.utils import timezone

from bench.data import DAYS

ORG = "organisation-1"
EVENTS = 2_000
"""Imported by `import_usage`, and then drained."""

Figures = dict[str, float]


def main() -> None:
    django.setup()
    for _ in sys.stdin:
        print(json.dumps(measured_round()), flush=True)


def measured_round() -> Figures:
    yesterday = timezone.localdate() - timedelta(days=1)
    day = [f"--from={yesterday}", f"--to={yesterday}"]
    month = _first_whole_month()
    file = _file_of_events()
    return {
        name: _seconds(*arguments)
        for name, arguments in {
            "check_usage of a day": ("check_usage", *day),
            "rebuild_daily of a day": ("rebuild_daily", *day),
            "reprice_usage --dry-run of a day": ("reprice_usage", *day, "--dry-run"),
            "archive_usage of a month": ("archive_usage", f"--before={_next(month)}"),
            "restore_usage of a month": ("restore_usage", f"--month={month:%Y-%m}"),
            f"import_usage of {EVENTS:,} events": ("import_usage", str(file), "--format=events", f"--org={ORG}"),
            f"drain_usage of {EVENTS:,} events": ("drain_usage",),
        }.items()
    }


def _seconds(*arguments: str) -> float:
    began = time.perf_counter()
    call_command(*arguments, stdout=io.StringIO(), stderr=sys.stderr)
    return time.perf_counter() - began


def _first_whole_month() -> date:
    """The first month all of whose days have calls."""
    first = timezone.localdate() - timedelta(days=DAYS - 1)
    return first if first.day == 1 else _next(first.replace(day=1))


def _next(month: date) -> date:
    return (month + timedelta(days=31)).replace(day=1)


def _file_of_events() -> Path:
    """Write new events as JSON Lines; returns the file."""
    salt, now = secrets.token_hex(6), time.time()
    usage = {"prompt_tokens": 1200, "completion_tokens": 80, "total_tokens": 1280}
    told = {"time": now, "provider": "openai", "model": "gpt-6-luna", "usage": usage}
    file = Path(os.environ["USAGE_ARCHIVE_DIR"]) / "events.jsonl"
    lines = (json.dumps({"request_id": f"chatcmpl-{salt}{number:08d}"} | told) for number in range(EVENTS))
    file.write_text("\n".join(lines))
    return file


if __name__ == "__main__":
    main()
