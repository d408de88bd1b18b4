"""Rebuilds the day of the factories' calls so many times: python -m tests.support.citus_rebuilds TIMES"""

from __future__ import annotations

import sys

import django


def main(times: int) -> None:
    django.setup()
    from django.core.management import call_command

    from tests.support.factories import TODAY

    for _ in range(times):
        call_command("rebuild_daily", "--from", str(TODAY), "--to", str(TODAY))


if __name__ == "__main__":
    main(int(sys.argv[1]))
