"""What one span or log record comes to: a call with its attribution as it was told, or a reason to refuse it."""

from __future__ import annotations

from typing import NamedTuple

from usage_billing.ingest.otlp import names
from usage_billing.ingest.otlp.values import Attributes, Value, first
from usage_billing.ingest.reported import ReportedCall
from usage_billing.recording import Attribution


class Person(NamedTuple):
    """A user as told. is_ours: under our own attribute, so that a number is a key of our users."""

    name: str = ""
    is_ours: bool = False


class Told(NamedTuple):
    """org, user: as the attributes have them; `directory` finds whom they name. fault: a known one of the emitter."""

    call: ReportedCall
    org: str = ""
    user: Person = Person()
    fault: str = ""


class Refused(NamedTuple):
    """The sender must not send it again. reason: for people."""

    reason: str


def merged(resource: Attributes, own: Attributes) -> dict[str, Value]:
    """Return the attributes of a span or record, which win, and those of its resource."""
    return {**resource, **own}


def org_of(attributes: Attributes) -> str:
    return first(attributes, (names.PREFIX + "org",))


def person_of(attributes: Attributes) -> Person:
    if ours := first(attributes, (names.PREFIX + "user",)):
        return Person(ours, is_ours=True)
    return Person(first(attributes, names.USER))


def attribution_of(attributes: Attributes) -> Attribution:
    """Return the attribution but for the organisation and the user."""
    return Attribution(
        agent_id=first(attributes, (names.PREFIX + "agent_id", *names.AGENT)),
        request_type=first(attributes, (names.PREFIX + "request_type",)),
        workflow_id=first(attributes, (names.PREFIX + "workflow_id", *names.WORKFLOW)) or None,
        content_id=first(attributes, (names.PREFIX + "content_id",)) or None,
        tags=_tags(attributes),
    )


def _tags(attributes: Attributes) -> dict[str, str]:
    """Return our tags, and the service's name as another one."""
    length = len(names.TAG_PREFIX)
    tags = {name[length:]: str(value) for name, value in attributes.items() if name.startswith(names.TAG_PREFIX)}
    service = first(attributes, (names.SERVICE,))
    return tags | ({names.SERVICE: service} if service else {})
