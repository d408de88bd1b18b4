"""Finds who calls, and with which of the provider's keys the call goes on."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.db import Error
from django.utils.translation import gettext as _

from ai_clients.proxy.errors import RefusedError
from ai_clients.proxy.headers import Headers, value_of
from ai_clients.proxy.look_ups import LookUps
from ai_clients.proxy.providers import PROVIDERS, Destination, Provider, destination_of
from usage_billing.auth import service_tokens
from usage_billing.auth.provider_keys import secret_for
from usage_billing.auth.service_tokens import BEGINNING, Program, program_of
from usage_billing.auth.token_rate import seconds_to_wait
from usage_billing.ingest.events_names import InDatabase
from usage_billing.models import Organization, ServiceToken
from usage_billing.models.encryption import DecryptionError
from usage_billing.tenancy.scope import EVERYTHING, Scope, within

USER_HOLD_S = 60.0
"""For how long a membership that was looked up holds."""
HOLD_S = 1.0
"""For how long a closed organisation is taken, and a replaced key beyond the time that `provider_keys` holds it."""


class Credentials:
    """What the requests of one process were let in with."""

    def __init__(self) -> None:
        # `program_of` holds its own results, for just as long as a revoked token may still work.
        self._programs: LookUps[str, Program | None] = LookUps(program_of, hold_s=0)
        self._destinations: LookUps[tuple[int | None, str], Destination | None] = LookUps(_destination, hold_s=HOLD_S)
        self._organizations: LookUps[str, int | None] = LookUps(_organization_id, hold_s=HOLD_S)
        self._users: LookUps[tuple[Scope, int | None, str], Any] = LookUps(_user_key, hold_s=USER_HOLD_S)

    async def program(self, token: str) -> Program:
        """Return the bearer of the token, who may use the proxy. Raises `RefusedError`."""
        if not token.startswith(BEGINNING):
            raise RefusedError(
                401,
                "service_token_missing",
                _("Send a service token of AI Costs (aic_…) as the key, not a key of the provider."),
            )
        program = service_tokens.known(token)
        if program is None and service_tokens.is_token(token):
            try:
                program = await self._programs.get(token)
            except Error as error:
                raise _database_away() from error
        if program is None or service_tokens.has_expired(program):
            raise RefusedError(
                401, "service_token_not_valid", str(service_tokens.InvalidServiceTokenError.default_detail)
            )
        if not program.may(ServiceToken.Scope.PROXY):
            raise RefusedError(
                403,
                "service_token_scope",
                _("This needs a service token with the scope %(names)s.") % {"names": ServiceToken.Scope.PROXY.value},
            )
        return program

    async def count(self, program: Program) -> None:
        """Count a request of the program. Raises `RefusedError` if its rate is used up."""
        wait_s = await asyncio.to_thread(seconds_to_wait, program)
        if wait_s:
            raise RefusedError(
                429,
                "rate_limit_exceeded",
                _("The service token sends more requests than it may. Try again in %(seconds)d s.")
                % {"seconds": wait_s},
                may_retry=True,
                retry_after_s=wait_s,
            )

    async def organization(self, program: Program, named: str) -> int | None:
        """Return the organisation that a token of all organisations names, by its slug or id. Raises `RefusedError`."""
        if not named:
            return program.org_id
        try:
            org_id = await self._organizations.get(named)
        except Error as error:
            raise _database_away() from error
        if org_id is None or program.org_id not in (None, org_id):
            raise RefusedError(
                400,
                "organization_not_known",
                _("The header x-ai-costs-org names no organisation that the token may charge. Send its slug."),
            )
        return org_id

    async def user(self, program: Program, org_id: int | None, named: str) -> Any:
        """Return the key of a user whom the request names; None for one whom the token may not name.

        A token of an organisation names its members alone: reports show their names to its owners.
        """
        try:
            return await self._users.get((program.own_scope, org_id, named)) if named else None
        except Error:
            return None  # a call without its user is worth more than no call

    async def destination(self, provider: Provider, org_id: int | None) -> Destination:
        """Return where the calls of the organisation go, with their key. Raises `RefusedError` if there is no key."""
        try:
            destination = await self._destinations.get((org_id, provider.name))
        except Error as error:
            raise _database_away() from error
        except (DecryptionError, ImproperlyConfigured) as error:
            message = _("The key for %(provider)s that is set up here cannot be read: save it again.")
            raise RefusedError(503, "provider_key_unreadable", message % {"provider": provider.title}) from error
        if destination is None:
            raise RefusedError(
                503,
                "provider_key_missing",
                _(
                    "No key for %(provider)s is set up here. An owner of the organisation or a superadmin saves one: "
                    "docs/proxy.md, Set up."
                )
                % {"provider": provider.title},
            )
        return destination


def _database_away() -> RefusedError:
    return RefusedError(
        503,
        "database_away",
        _("The service cannot check the token or the key now, because its database does not answer. Try again."),
        may_retry=True,
    )


def token_in(headers: Headers) -> str:
    """Return the token that a client sends as its key: as a bearer, or as `x-api-key`; empty if there is none."""
    kind, _space, bearer = value_of(headers, b"authorization").partition(b" ")
    given = [bearer.strip() if kind.lower() == b"bearer" else b"", value_of(headers, b"x-api-key").strip()]
    return next((each for each in given if each.startswith(BEGINNING.encode())), b"").decode("latin-1")


def _destination(key: tuple[int | None, str]) -> Destination | None:
    org_id, name = key
    secret = secret_for(org_id, name)
    found = destination_of(PROVIDERS[name], secret)
    if found is None or secret is None or org_id is None:
        return found
    return replace(found, is_shared=secret == secret_for(None, name))


def _user_key(whose: tuple[Scope, int | None, str]) -> Any:
    scope, org_id, named = whose
    with within(scope):
        return InDatabase(scope).users({(org_id, named)}).get((org_id, named))


def _organization_id(named: str) -> int | None:
    with within(EVERYTHING):
        open_ones = Organization.objects.filter(closed_at=None)
        found = open_ones.filter(slug=named).first()
        if found is None and named.isdecimal() and len(named) < 19:
            found = open_ones.filter(pk=int(named)).first()
        return None if found is None else found.pk
