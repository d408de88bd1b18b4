"""`manage.py create_token --name gateway --org acme --scope ingest`: make a service token."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError
from datetime import timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import CommandError, no_translations
from django.db import DatabaseError
from django.utils import timezone

from usage_billing.auth import service_tokens
from usage_billing.management.printable_command import PrintableCommand
from usage_billing.models import Organization, ServiceToken
from usage_billing.tenancy.scope import EVERYTHING, within

BY = "manage.py create_token"
"""Who made the token, in its history."""
MOST_NAMED = 20
LONGEST_DAYS = 36_500


def days(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 0 < int(text[:9]) <= LONGEST_DAYS:
        raise ArgumentTypeError(f"“{text}” is no number of days from 1 to {LONGEST_DAYS}.")
    return int(text)


class Command(PrintableCommand):
    help = (
        "Make a service token and print it, alone, on standard output. It is shown this once. Rotate and revoke it on"
        " the page “Service tokens” or by the API."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--name", required=True, help="of the program that will use it")
        whose = parser.add_mutually_exclusive_group(required=True)
        whose.add_argument("--org", metavar="SLUG", help="the organisation that it acts for")
        whose.add_argument("--all", action="store_true", dest="of_all", help="it acts for all organisations")
        parser.add_argument(
            "--scope",
            action="append",
            required=True,
            dest="scopes",
            choices=ServiceToken.Scope.values,
            help="what it may do; may be repeated",
        )
        parser.add_argument(
            "--model",
            action="append",
            default=[],
            dest="models",
            metavar="NAME",
            help="a model that it may call by the proxy; may be repeated (default: all)",
        )
        parser.add_argument("--days", type=days, metavar="N", help="it expires after so many days (default: never)")

    @no_translations
    def handle(self, *args: Any, **options: Any) -> None:
        try:
            with within(EVERYTHING):
                token, text = self._made(**options)
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from error
        except DatabaseError as error:
            raise CommandError(f"The token could not be saved: {str(error).strip()}") from error
        self.stdout.write(text)
        whose = "all organisations" if token.org is None else f"the organisation {token.org.slug}"
        until = "" if token.expires_at is None else f" until {token.expires_at:%Y-%m-%d %H:%M %Z}"
        self.stderr.write(f"Made the service token “{token.name}” of {whose}: {', '.join(token.scopes)}{until}.")
        self.stderr.write("Keep it: it is not shown again.")

    def _made(
        self, *, name: str, org: str | None, scopes: list[str], models: list[str], days: int | None, **_: Any
    ) -> tuple[ServiceToken, str]:
        return service_tokens.create(
            scope=EVERYTHING,
            by=BY,
            name=name,
            org=None if org is None else _organization(org),
            scopes=scopes,
            allowed_models=models,
            expires_at=None if days is None else timezone.now() + timedelta(days=days),
        )


def _organization(slug: str) -> Organization:
    """The organisation. Raises `CommandError`, which says which there are."""
    open_ones = Organization.objects.filter(closed_at=None)
    found = open_ones.filter(slug=slug).first()
    if found is None:
        slugs = list(open_ones.order_by("slug").values_list("slug", flat=True)[: MOST_NAMED + 1])
        more = " …" if len(slugs) > MOST_NAMED else ""
        there = ", ".join(slugs[:MOST_NAMED]) + more if slugs else "none yet"
        raise CommandError(f"There is no open organisation “{slug}”. There are: {there}.")
    return found
