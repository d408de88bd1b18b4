"""`python -m tests.support.killed_repricing MOMENT`: reprices and kills itself by SIGKILL at that moment.

It handles three days of 7 records in batches of 3. The kill comes in the fourth batch, after it, or after the last.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any
from unittest.mock import patch

import django
from django.core.management import call_command


def killed(*_arguments: Any, **_options: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def main(moment: str) -> None:
    django.setup()
    from usage_billing.ledger import repricing, writer
    from usage_billing.models import RepriceRun

    add_to_rollups, add, save = writer._add_to_rollups, repricing.Tally.add, RepriceRun.save
    batches = 0

    def counted(*arguments: Any) -> None:
        nonlocal batches
        batches += 1
        if batches == 4 and moment == "before the totals":
            killed()
        add_to_rollups(*arguments)

    def shown(*arguments: Any) -> None:
        if batches == 4 and moment == "after the batch":
            killed()
        add(*arguments)

    def saved(*arguments: Any, **options: Any) -> None:
        if batches == 4 and moment == "before the log":
            killed()
        save(*arguments, **options)

    put = patch.object
    put(repricing, "BATCH", 3).start()
    put(writer, "_add_to_rollups", counted).start()
    put(repricing.Tally, "add", shown).start()
    put(RepriceRun, "save", saved).start()
    if moment == "before the end":
        put(repricing, "finish", killed).start()
    days = ("--from", "2026-01-01", "--to", "2026-12-31")
    call_command("reprice_usage", *days, "--reason", "new contract", "--by", "anna")


if __name__ == "__main__":
    main(sys.argv[1])
