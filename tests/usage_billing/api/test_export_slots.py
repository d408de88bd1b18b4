"""Limits on concurrent exports, over threads and processes."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from usage_billing.api.export_slots import (
    EXPORTS_PER_PROCESS,
    EXPORTS_PER_USER,
    Slot,
    TooManyExportsError,
    take,
)
from usage_billing.conf import conf

ALICE, BOB = SimpleNamespace(pk=1), SimpleNamespace(pk=2)

HOLDER = """
import sys, django; django.setup()
from types import SimpleNamespace
from usage_billing.api.export_slots import take
slots = [take(SimpleNamespace(pk=1)) for _ in range(2)]
print("held", flush=True)
sys.stdin.read()
"""


def tried(person: object) -> Slot | None:
    try:
        return take(person)
    except TooManyExportsError:
        return None


def test_of_twenty_threads_at_once_two_get_a_slot() -> None:
    with ThreadPoolExecutor(20) as threads:
        slots = list(threads.map(tried, [ALICE] * 20))
    assert sum(slot is not None for slot in slots) == EXPORTS_PER_USER
    assert tried(BOB) is not None


def test_a_slot_that_is_given_back_or_forgotten_is_free() -> None:
    first, second = take(ALICE), take(ALICE)
    first.close()
    first.close()
    third = tried(ALICE)
    assert third is not None
    assert tried(ALICE) is None
    del second
    assert tried(ALICE) is not None


def test_a_process_has_no_more_than_its_own_bound() -> None:
    slots = [tried(SimpleNamespace(pk=number)) for number in range(10)]
    assert sum(slot is not None for slot in slots) == EXPORTS_PER_PROCESS


def test_another_process_counts_and_its_death_gives_its_slots_back() -> None:
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "USAGE_OUTBOX_PATH": conf.OUTBOX_PATH,
    }
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(TooManyExportsError, match=r"\w"):
            take(ALICE)
        assert tried(BOB) is not None
        holder.kill()
        holder.wait()
        assert [tried(ALICE) is not None for _ in range(2)] == [True, True]


def test_the_file_is_for_this_user_alone() -> None:
    take(ALICE)
    assert os.stat(f"{conf.OUTBOX_PATH}.exports").st_mode & 0o777 == 0o600
