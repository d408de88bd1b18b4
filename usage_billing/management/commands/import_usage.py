"""`manage.py import_usage FILE… --format litellm --org SLUG`: imports calls that other programs have recorded."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser, ArgumentTypeError
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TextIO

from django.core.management.base import CommandError
from django.db import DatabaseError
from django.utils import timezone
from tqdm import tqdm

from usage_billing.ingest import events_names
from usage_billing.ingest.events_taking import Sender
from usage_billing.ingest.files.importing import FORMATS, Counts, Import, Refused
from usage_billing.ingest.files.rows import Maps
from usage_billing.ingest.keeping import NotKeptError
from usage_billing.management.ledger_command import INTERRUPTED
from usage_billing.management.printable_command import PrintableCommand
from usage_billing.models import Organization
from usage_billing.tenancy.scope import EVERYTHING, within

LISTED = 20
"""Refused rows that are shown."""
AGAIN = "Nothing is lost or counted twice; run the same command again to continue."


def pair(text: str) -> tuple[str, str]:
    name, equals, here = text.rpartition("=")
    if not (equals and name and here):
        raise ArgumentTypeError(f"“{text}” is not a pair. Write NAME=HERE.")
    return name, here


class Command(PrintableCommand):
    help = (
        "Import calls that other programs have recorded: our events, LiteLLM's spend logs, OpenAI's usage export, our"
        " own export. They go through the outbox, as all calls; rows that the ledger has are left out, so an"
        " interrupted import is run again."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="JSON, JSON Lines or CSV; also .gz")
        parser.add_argument("--format", required=True, choices=FORMATS, help="who wrote the files")
        parser.add_argument("--org", metavar="SLUG", help="the organisation of rows that name none")
        parser.add_argument(
            "--map-org", type=pair, action="append", default=[], metavar="NAME=SLUG",
            help="the organisation of a name in the file: LiteLLM's team, organisation or key; OpenAI's project or"
            " key; the organisation of events and exports",
        )  # fmt: skip
        parser.add_argument(
            "--map-user", type=pair, action="append", default=[], metavar="NAME=LOGIN",
            help="the log-in name, or key, of a user in the file",
        )  # fmt: skip
        parser.add_argument("--refused", type=Path, metavar="FILE", help="write refused rows here, as JSON Lines")
        parser.add_argument("--dry-run", action="store_true", help="only say what would be taken, known and refused")

    def handle(
        self,
        *args: Any,
        files: list[Path],
        format: str,
        org: str | None,
        map_org: list[tuple[str, str]],
        map_user: list[tuple[str, str]],
        refused: Path | None,
        dry_run: bool,
        **options: Any,
    ) -> None:
        self._listed: list[Refused] = []
        with ExitStack() as stack:
            try:
                total = sum(file.stat().st_size for file in files)
                to = stack.enter_context(refused.open("w")) if refused else None
            except OSError as error:
                raise CommandError(f"{error.filename}: {error.strerror}. Nothing was imported.") from error
            bar = stack.enter_context(
                tqdm(total=total, desc="import_usage", unit="B", unit_scale=True, disable=None, delay=2)
            )
            run = Import(
                format,
                Sender(EVERYTHING, default_org_id=None if org is None else _id_of(org)),
                Maps(dict(map_org), dict(map_user)),
                timezone.now(),
                is_dry=dry_run,
                on_refused=lambda row: self._refused(row, to),
                on_waiting=lambda: bar.write(
                    "The outbox is nearly full: waiting until it is drained.", file=sys.stderr
                ),
            )
            self._run(run, files, bar)
        self._report(run.counts, len(files), is_dry=dry_run, to=refused)

    def _run(self, run: Import, files: list[Path], bar: Any) -> None:
        done = 0
        for file in files:
            run.on_progress = lambda _path, position, done=done: bar.update(done + position - bar.n)  # type: ignore[misc]
            try:
                run.run(file)
                done += file.stat().st_size
            except KeyboardInterrupt as stopped:
                raise CommandError(f"Interrupted. {_sum(run.counts)} {AGAIN}", returncode=INTERRUPTED) from stopped
            except NotKeptError as error:
                raise CommandError(
                    f"Stopped: {error}. Is `manage.py drain_usage --follow` running? {_sum(run.counts)} {AGAIN}"
                ) from error
            except (DatabaseError, events_names.AwayError, OSError) as error:
                raise CommandError(f"Stopped: {str(error).strip()}. {_sum(run.counts)} {AGAIN}") from error

    def _refused(self, row: Refused, to: TextIO | None) -> None:
        if len(self._listed) < LISTED:
            self._listed.append(row)
        if to is not None:
            told = {"file": str(row.path), "row": row.number, "reason": row.reason}
            to.write(f"{json.dumps(told, ensure_ascii=False)}\n")

    def _report(self, counts: Counts, files: int, *, is_dry: bool, to: Path | None) -> None:
        for row in self._listed:
            self.stderr.write(f"{row.path}, row {row.number}: {row.reason}")
        more = counts.refused - len(self._listed)
        if more > 0:
            where = f"all are in {to}" if to else "--refused FILE writes all"
            self.stderr.write(f"… and {more:,} more refused rows; {where}.")
        verb = "Would import" if is_dry else "Imported"
        told = f" They told {counts.told_usd.normalize() + 0:,f} USD." if counts.told_usd else ""
        self.stdout.write(f"{verb} {counts.taken:,} calls of {files} files; {_rest(counts)}.{told}")
        if counts.refused:
            raise CommandError(f"{counts.refused:,} rows were refused. Correct them, and import the file again.")


def _rest(counts: Counts) -> str:
    return f"known already: {counts.known:,}; no calls: {counts.skipped:,}; refused: {counts.refused:,}"


def _sum(counts: Counts) -> str:
    return f"Imported {counts.taken:,} calls so far; {_rest(counts)}."


def _id_of(slug: str) -> int:
    with within(EVERYTHING):
        found = Organization.objects.filter(slug=slug).values_list("pk", flat=True).first()
    if found is None:
        raise CommandError(f"There is no organisation “{slug}”. Nothing was imported.")
    return int(found)
