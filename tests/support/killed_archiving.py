"""`python -m tests.support.killed_archiving MOMENT`: archives and kills itself by SIGKILL at that moment.

It handles May's calls (see `aged`), three per transaction.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any
from unittest.mock import patch

import django
from django.core.management import call_command

ARCHIVING = {
    "while it writes": "write",
    "before the file has its name": "name",
    "before the file is listed": "list",
    "when the file is listed": "remove",
    "before calls are removed for good": "delete",
    "between two batches": "batch",
    "before the file is finished": "finish",
}
RESTORING = {
    "before calls are back for good": "bring",
    "between two batches of them": "batch",
    "before the file is off the list": "finish",
}


def killed(*_arguments: Any, **_options: Any) -> Any:
    os.kill(os.getpid(), signal.SIGKILL)


class After:
    """Lets `times` calls of the function through, and kills the process before the next one; with `late`, after it."""

    def __init__(self, function: Any, times: int, *, late: bool = False) -> None:
        self.function, self.left, self.late = function, times, late

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        self.left -= 1
        if self.left < 0 and not self.late:
            killed()
        result = self.function(*arguments, **options)
        if self.left < 0:
            killed()
        return result


def main(moment: str) -> None:
    django.setup()
    from usage_billing.archive import archiving, parquet

    put = patch.object
    put(parquet, "BATCH", 3).start()
    put(parquet, "ROW_GROUP", 7).start()
    batches = After(archiving._held, 2)
    match ARCHIVING.get(moment):
        case "write":
            put(parquet, "add_by_day_and_org", After(parquet.add_by_day_and_org, 2)).start()
        case "name":
            put(archiving, "_rename", killed).start()
        case "list":
            put(archiving, "_listed", killed).start()
        case "remove":
            put(archiving, "_remove", killed).start()
        case "delete":
            put(archiving, "_remove_batch", After(archiving._remove_batch, 1, late=True)).start()
        case "batch":
            put(archiving, "_held", batches).start()
        case "finish":
            put(archiving, "_held", After(archiving._held, 7)).start()
    if moment in ARCHIVING:
        call_command("archive_usage", "--before", "2026-06-01", "--by", "anna")
    match RESTORING[moment]:
        case "bring":
            put(archiving, "_restore_batch", After(archiving._restore_batch, 1, late=True)).start()
        case "batch":
            put(archiving, "_held", After(archiving._held, 3)).start()
        case "finish":
            put(archiving, "_held", After(archiving._held, 1 + 10)).start()  # a day at a time
    call_command("restore_usage", "--month", "2026-05")


if __name__ == "__main__":
    main(sys.argv[1])
