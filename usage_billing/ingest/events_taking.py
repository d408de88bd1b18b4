"""Sorts out the events of a sender: finds whose they are, and leaves out those that are known.

Events are taken without a database too: what was looked up before is remembered (`events_names`).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import Error
from django.utils.translation import gettext
from msgspec.structs import replace

from usage_billing.auth.service_tokens import Program, attributed
from usage_billing.ingest import events_names
from usage_billing.ingest.events import EventError, Given
from usage_billing.ingest.events_names import Names
from usage_billing.recording import Event
from usage_billing.recording.texts import clean
from usage_billing.tenancy.scope import Scope, within

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Sender:
    """Who sends events. scope: their organisations. program: the token's, if it was a token.

    default_org_id: the organisation of events that name none. None: a sender of all organisations leaves it to the
    user's membership, any other must name it.
    """

    scope: Scope
    program: Program | None = None
    default_org_id: int | None = None


def sender_of(user: Any, scope: Scope) -> Sender:
    """Return the sender that a program is, or a person in their scope."""
    program = user if isinstance(user, Program) else None
    owned = scope.owned_org_ids
    return Sender(scope, program, default_org_id=next(iter(owned)) if len(owned) == 1 else None)


@dataclass(frozen=True)
class Taken:
    """What becomes of an event: it is kept, or known already, or refused for a reason."""

    request_id: str
    event: Event | None = None
    is_known: bool = False
    reason: str = ""


def sort_out(given: Sequence[Given | EventError], sender: Sender) -> list[Taken]:
    """Return what becomes of each event, in their order. Nothing is written.

    Raises `events_names.AwayError` for a name that only the database could tell, while it is away.
    """
    given = [_printable(each) if isinstance(each, Given) else each for each in given]
    try:
        with within(sender.scope):
            return _sorted_out(given, sender, events_names.InDatabase(sender.scope))
    except Error as error:
        logger.warning("The database does not answer (%s): events are taken without it.", type(error).__name__)
        return _sorted_out(given, sender, events_names.Remembered(sender.scope))


def _printable(given: Given) -> Given | EventError:
    """Refuse names that no database looks up, such as one with NUL: its error would be that of a database away."""
    names = [name for name in (given.org, given.user) if isinstance(name, str)]
    if all(clean(name) == name for name in names):
        return given
    return EventError(gettext("org and user must be printable text."))


def _sorted_out(given: Sequence[Given | EventError], sender: Sender, names: Names) -> list[Taken]:
    read = [each for each in given if isinstance(each, Given)]
    orgs = names.organizations({each.org for each in read if each.org is not None})
    placed = [_placed(each, sender, orgs) for each in given]
    wanted = {
        (each.event.attribution.org_id, each.user)
        for each in placed
        if isinstance(each, Given) and each.user is not None
    }
    users = names.users(wanted)
    events = [each if isinstance(each, EventError) else _with_user(each, users) for each in placed]
    known = names.known([event for event in events if isinstance(event, Event)])
    return list(_without_known(given, events, known))


def _without_known(
    given: Sequence[Given | EventError], events: Sequence[Event | EventError], known: set[events_names.Key]
) -> Iterator[Taken]:
    seen = set(known)
    for each, event in zip(given, events, strict=True):
        request_id = each.request_id if isinstance(each, Given) else ""
        if isinstance(event, EventError):
            yield Taken(request_id, reason=str(event))
        elif (key := events_names.key_of(event)) in seen:
            yield Taken(request_id, is_known=True)
        else:
            seen.add(key)
            yield Taken(request_id, event)


def _placed(given: Given | EventError, sender: Sender, orgs: Mapping[Any, int]) -> Given | EventError:
    """Return the event with its organisation: a token decides it, and the event may only repeat it."""
    if isinstance(given, EventError):
        return given
    scope, org_id = sender.scope, sender.default_org_id
    if given.org is not None:
        named = orgs.get(given.org)
        if named is None or not (scope.everything or named in scope.owned_org_ids):
            return EventError(_not_its_own(sender) % {"org": given.org})
        org_id = named
    elif org_id is None and not scope.everything:
        return EventError(gettext("Name the organisation of the event: you send for several."))
    attribution = replace(given.event.attribution, org_id=org_id)
    if sender.program is not None:
        attribution = attributed(attribution, sender.program)
    return given._replace(event=replace(given.event, attribution=attribution))


def _not_its_own(sender: Sender) -> str:
    """Return the refusal of an organisation. Another tenant's is refused exactly as one that does not exist."""
    if sender.program is not None and not sender.scope.everything:
        return gettext("This token is not of the organisation “%(org)s”. Leave org out, or use a token of it.")
    return gettext("There is no organisation “%(org)s” here. Give the id or the slug of one that you may send for.")


def _with_user(given: Given, users: Mapping[Any, Any]) -> Event:
    """Return the event with its user. One who is not found stays in the metadata, as in a recorded call."""
    event = given.event
    if given.user is None:
        return event
    attribution = event.attribution
    key = users.get((attribution.org_id, given.user))
    if key is None:
        return replace(
            event, attribution=replace(attribution, metadata={**attribution.metadata, "user_id": given.user})
        )
    return replace(event, attribution=replace(attribution, user_id=_as_json(key)))


def _as_json(key: Any) -> int | str:
    return key if isinstance(key, int) else str(key)
