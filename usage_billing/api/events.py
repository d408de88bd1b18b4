"""`POST /api/billing/usage/events`: other programs report their calls."""

from __future__ import annotations

from typing import Any

from django.utils import timezone
from django.utils.translation import gettext as _
from drf_spectacular.extensions import OpenApiSerializerExtension
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers, status
from rest_framework.exceptions import APIException, PermissionDenied, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from usage_billing.api import examples
from usage_billing.api.base import ApiView
from usage_billing.api.event_parsers import EventLinesParser, EventsParser, JsonLinesParser
from usage_billing.api.schema import refusal
from usage_billing.auth.service_tokens import Program
from usage_billing.ingest import events, events_names, events_taking, keeping
from usage_billing.ingest.events import EventError
from usage_billing.ingest.events_taking import Sender, Taken
from usage_billing.models import ServiceToken
from usage_billing.tenancy.scope import scoped

MOST_EVENTS = 1_000
RETRY_AFTER_S = 30
_STATE = (
    "What became of it. `taken`: it will be in the ledger; `known`: the organisation has this `request_id` already;"
    " `refused`: it is not taken."
)


class NothingTakenError(APIException):
    """The outbox or a name cannot be reached. The sender keeps the events and sends them again."""

    status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    default_code = "nothing_taken"
    wait = RETRY_AFTER_S
    """Seconds, for `Retry-After`."""


@extend_schema_field({"type": "string", "pattern": "^(taken|known|refused)$"})
class StateField(serializers.CharField):
    """What became of an event."""


class EventResultSerializer(serializers.Serializer[dict[str, Any]]):
    """What became of one event."""

    index = serializers.IntegerField(help_text="Its place in the body, from 0.")
    request_id = serializers.CharField(help_text="Its `request_id`. Empty: it has none that can be read.")
    state = StateField(help_text=_STATE)
    reason = serializers.CharField(allow_null=True, help_text="Why it is refused. Null: it is not.")


class EventResultsSerializer(serializers.Serializer[dict[str, Any]]):
    """What became of the events of a body."""

    taken = serializers.IntegerField(help_text="Number of events that are kept, and will be in the ledger.")
    known = serializers.IntegerField(help_text="Number of events whose call is known already.")
    refused = serializers.IntegerField(help_text="Number of events that are not taken.")
    events = EventResultSerializer(many=True, help_text="One for each event, in their order.")


class EventsBody(serializers.Serializer[dict[str, Any]]):
    """Calls that a program made. docs/ingest.md lists the fields of an event."""

    events = serializers.ListField(
        child=serializers.JSONField(), max_length=MOST_EVENTS, help_text="Events, each an object: at most 1,000."
    )


class EventsBodyScheme(OpenApiSerializerExtension):  # type: ignore[no-untyped-call]
    """Says in the schema that the list alone will do as well."""

    target_class = EventsBody

    def map_serializer(self, auto_schema: Any, direction: Any) -> dict[str, Any]:
        described: dict[str, Any] = auto_schema._map_serializer(self.target, direction, bypass_extensions=True)
        list_alone = {"type": "array", "maxItems": MOST_EVENTS, "items": {}}
        return {
            "description": described["description"],
            "properties": described["properties"],
            "anyOf": [{"type": "object", "required": described["required"]}, list_alone],
        }


class EventsView(ApiView):
    """Not a `ScopedView`: events are taken while the database is away."""

    tag = "Events"
    token_scopes_to_write = (ServiceToken.Scope.INGEST.value,)
    parser_classes = (EventsParser, EventLinesParser, JsonLinesParser)  # type: ignore[assignment]

    @extend_schema(
        operation_id="events_send",
        request={"application/json": EventsBody},
        responses={
            200: EventResultsSerializer,
            400: refusal("The body is no list of events, or has more than 1,000.", examples.TOO_MANY_EVENTS),
            403: refusal(
                "The token has not the scope `ingest`; or a person owns no organisation.", examples.MAY_NOT_SEND
            ),
            503: refusal(
                "Nothing was taken. Send the same body again after `Retry-After` seconds.", examples.NOTHING_TAKEN
            ),
        },
        examples=[examples.sent(examples.SENT_EVENTS), examples.answered(examples.ANSWERED_EVENTS)],
    )
    def post(self, request: Request) -> Response:
        """Report calls that other programs made.

        For service tokens with the scope `ingest`; also for owners and superadmins. Takes up to 1,000 events as JSON or
        JSON Lines (`application/x-ndjson`), plain or gzip; a bare list will do as well. Each event is taken, known or
        refused by itself. The organisation and `request_id` identify a call, so the same body may be sent again:
        nothing counts twice. What is taken survives a crash of the server and an outage of the database.
        docs/ingest.md lists the fields of an event.
        """
        given, now = _events_of(request.data), timezone.now()
        sender = _sender(request)
        read = [each if isinstance(each, EventError) else _read(each, now) for each in given]
        try:
            found = events_taking.sort_out(read, sender)
            keeping.keep([each.event for each in found if each.event is not None])
        except events_names.AwayError as error:
            raise NothingTakenError(_nothing_taken(error)) from error
        except keeping.NotKeptError as error:
            raise NothingTakenError(_nothing_taken(error)) from error
        return Response(EventResultsSerializer(_answer(found)).data)


def _events_of(body: Any) -> list[Any]:
    given = body.get("events") if isinstance(body, dict) else body
    if not isinstance(given, list):
        raise ValidationError({"events": [_("Send a list of events, or an object with the list `events`.")]})
    if len(given) > MOST_EVENTS:
        raise ValidationError(
            {
                "events": [
                    _("At most %(most)d events at once; these are %(count)d.")
                    % {"most": MOST_EVENTS, "count": len(given)}
                ]
            }
        )
    return given


def _sender(request: Request) -> Sender:
    """Return the sender. Members send nothing: their calls are recorded where they are made."""
    if isinstance(request.user, Program):
        return events_taking.sender_of(request.user, request.user.own_scope)
    with scoped(request.user) as scope:
        if not (scope.everything or scope.owned_org_ids):
            raise PermissionDenied(_("Only owners, superadmins and service tokens with the scope ingest send events."))
        return events_taking.sender_of(request.user, scope)


def _read(given: Any, now: Any) -> events.Given | EventError:
    try:
        return events.read(given, source="events", now=now)
    except EventError as error:
        return error


def _nothing_taken(error: Exception) -> str:
    return _("Nothing was taken: %(reason)s. Send the same events again later.") % {"reason": str(error).rstrip(".")}


def _answer(found: list[Taken]) -> dict[str, Any]:
    results = [
        {
            "index": index,
            "request_id": each.request_id,
            "state": "refused" if each.reason else "known" if each.is_known else "taken",
            "reason": each.reason or None,
        }
        for index, each in enumerate(found)
    ]
    counts = {state: sum(each["state"] == state for each in results) for state in ("taken", "known", "refused")}
    return {**counts, "events": results}
