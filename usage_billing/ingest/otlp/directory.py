"""Finds the organisations and users that an export names, in at most two queries, within what its token may charge."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import Any

from django.contrib.auth import get_user_model
from django.db import DatabaseError
from django.db.models import Q
from django.utils.translation import gettext
from msgspec.structs import replace

from usage_billing.auth.service_tokens import Program, attributed
from usage_billing.ingest.otlp.told import Person, Refused, Told
from usage_billing.models import Membership, Organization, user_keys
from usage_billing.tenancy.scope import EVERYTHING, within

logger = logging.getLogger(__name__)

LONGEST_NAME = 200
"""Characters of a name that is looked up, and kept where nobody has it."""
FAULT = "emitter_fault"
"""In `response_metadata`: what the emitter is known to count wrongly in this call."""


class Directory:
    """The organisations and users of one export.

    Raises `DatabaseError` when it is made, if organisations are named and the database does not answer. Users are found
    as far as it does: a call without its user is worth more than no call.
    """

    def __init__(self, program: Program, told: Iterable[Told]) -> None:
        self._program = program
        told = list(told)
        self._orgs = _organizations({each.org for each in told} - {"", str(program.org_id)})
        try:
            self._people = _people({each.user for each in told if each.user.name}, program.org_id)
        except DatabaseError:
            logger.warning("The database does not answer: reported calls are recorded without their users.")
            self._people = {}

    def attributed(self, told: Told) -> Told | Refused:
        """Return the call with its whole attribution; refused if it names an organisation that is not the token's."""
        org_id = self._program.org_id
        if told.org and told.org != str(org_id):
            named = self._orgs.get(told.org)
            if named is None or org_id not in (None, named):
                return Refused(
                    gettext("A call names an organisation that does not exist or that the token may not charge.")
                )
            org_id = named
        given = replace(told.call.attribution, org_id=org_id, **self._user(told.user))
        return told._replace(call=replace(told.call, attribution=attributed(given, self._program)))

    def _user(self, person: Person) -> dict[str, Any]:
        """Return the user's key; of somebody who is no user, the name stays with the call."""
        if not person.name:
            return {}
        key = self._people.get(person)
        return {"metadata": {"user": person.name[:LONGEST_NAME]}} if key is None else {"user_id": _plain(key)}


def _is_name(text: str) -> bool:
    """Return whether a database can look for it: PostgreSQL takes no NUL and no lone surrogate."""
    return len(text) <= LONGEST_NAME and text.isprintable()


def _plain(key: Any) -> int | str:
    return key if isinstance(key, int) else str(key)


def _organizations(names: set[str]) -> dict[str, int]:
    """Return the ids of open organisations by the names given: a slug, else an id."""
    names = set(filter(_is_name, names))
    if not names:
        return {}
    ids = {int(name) for name in names if name.isascii() and name.isdecimal() and len(name) < 19}
    with within(EVERYTHING):
        rows = Organization.objects.filter(Q(slug__in=names) | Q(pk__in=ids), closed_at=None).values_list("pk", "slug")
        found = [*rows]
    return {str(pk): pk for pk, _ in found} | {slug: pk for pk, slug in found}


def _people(people: set[Person], org_id: int | None) -> dict[Person, Any]:
    """Return the keys of users by what names them: user name or e-mail, and the key itself under our own attribute.

    Only members of the token's organisation are found. A name that two of them have is nobody's.
    """
    people = {person for person in people if _is_name(person.name)}
    names = {person.name for person in people}
    if not names:
        return {}
    user_model = get_user_model()
    fields = _fields_of(user_model)
    keys = {key for person in people if person.is_ours and (key := user_keys.parse(person.name)) is not None}
    wanted = Q(pk__in=keys)
    for field in fields:
        wanted |= Q(**{f"{field}__in": names})
    with within(EVERYTHING):
        users = user_model._default_manager.filter(wanted)
        if org_id is not None:
            members = Membership.objects.filter(org_id=org_id).values("user_id")
            users = users.filter(pk__in=members)
        rows = [*users.values_list("pk", *fields)]
    found: dict[Person, Any] = {}
    for person in people:
        own = user_keys.parse(person.name) if person.is_ours else None
        matching = {row[0] for row in rows if person.name in row[1:] or (own is not None and row[0] == own)}
        if len(matching) == 1:
            found[person] = matching.pop()
    return found


def _fields_of(user_model: Any) -> Sequence[str]:
    """Return the fields that hold a user's name and e-mail; a project's own model may have no e-mail."""
    of_model = {field.name for field in user_model._meta.get_fields()}
    named = (user_model.USERNAME_FIELD, user_model.get_email_field_name())
    return [field for field in dict.fromkeys(named) if field in of_model]
