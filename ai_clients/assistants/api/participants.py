"""`POST /api/participants/<id>/enrich-ai`."""

from __future__ import annotations

from typing import ClassVar

from django.db.models import QuerySet
from django.utils.translation import gettext
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from ai_clients.assistants.api import examples
from ai_clients.assistants.api.errors import RESPONSES, ConflictError, answered, count_run
from ai_clients.assistants.models import Participant
from ai_clients.assistants.participants.enrichment import (
    MOST_MESSAGES,
    EnrichmentError,
    EnrichmentOptions,
    NoMessagesError,
    enrich_participant,
)
from usage_billing.api.base import ApiView
from usage_billing.api.examples import answered as answered_with
from usage_billing.api.examples import sent
from usage_billing.api.schema import refusal
from usage_billing.tenancy.scope import Scope, scoped


class EnrichmentOptionsSerializer(serializers.Serializer[EnrichmentOptions]):
    """Options of an analysis; all may be left out."""

    max_messages = serializers.IntegerField(
        min_value=1,
        max_value=MOST_MESSAGES,
        default=EnrichmentOptions.max_messages,
        help_text="Number of messages to read, the newest ones.",
    )


class ParticipantSerializer(serializers.ModelSerializer[Participant]):
    """A community participant with the profile that the model made."""

    interests = serializers.ListField(child=serializers.CharField(), help_text="Interests, short texts.")

    class Meta:
        model = Participant
        texts: ClassVar[dict[str, str]] = {
            "id": "Id of the participant.",
            "org": "Id of the organisation that the participant belongs to.",
            "external_id": "The person's id in the chats.",
            "name": "The person's name in the chats.",
            "role": "Role in the community. Empty: not analysed.",
            "activity": "How much the person writes. Empty: not analysed.",
            "tone": "Tone of the messages. Empty: not analysed.",
            "analysed_at": "When the messages were read for the profile. Null: not analysed.",
        }
        fields = (*texts, "interests")
        # Labels would stand in the schema in the reader's language.
        extra_kwargs = {name: {"label": "", "help_text": text} for name, text in texts.items()}


class EnrichParticipantView(ApiView):
    """Analyse a participant's messages.

    Returns the participant with the new profile. For owners and members of the participant's organisation, which is
    charged, and for superadmins. The cost stands in the reports, under the request type `participant_enrichment`.
    """

    tag = "Participants"

    @extend_schema(
        operation_id="participants_enrich",
        parameters=[
            OpenApiParameter("participant_id", int, OpenApiParameter.PATH, description="Id of the participant.")
        ],
        request=EnrichmentOptionsSerializer,
        responses={
            **RESPONSES,
            200: ParticipantSerializer,
            400: refusal("A field is not valid; `details` names it.", examples.WRONG_NUMBER),
            404: refusal("There is no such participant for the caller.", examples.NO_PARTICIPANT),
            409: refusal(
                "There is nothing to analyse, or an analysis is under way.", examples.NO_MESSAGES, examples.UNDER_WAY
            ),
        },
        examples=[sent(examples.ENRICHMENT_REQUEST), answered_with(examples.PARTICIPANT)],
    )
    def post(self, request: Request, participant_id: str) -> Response:
        options = EnrichmentOptionsSerializer(data=request.data or {})
        options.is_valid(raise_exception=True)
        with scoped(request.user) as scope:
            found = participants(scope).filter(pk=int(participant_id)).first()
        if found is None:
            raise NotFound(gettext("There is no such participant."))
        count_run(user_id=request.user.pk, org_id=found.org_id)
        try:
            with answered():
                participant = enrich_participant(
                    found.pk, found.org_id, EnrichmentOptions(**options.validated_data), request.user.pk
                )
        except EnrichmentError as error:
            raise ConflictError(
                str(error), "no_messages" if isinstance(error, NoMessagesError) else "under_way"
            ) from error
        return Response(ParticipantSerializer(participant).data)


def participants(scope: Scope) -> QuerySet[Participant]:
    """The participants whom a person may have analysed: those of their open organisations."""
    open_ones = Participant.objects.filter(org__closed_at=None)
    return open_ones if scope.everything else open_ones.filter(org_id__in=scope.owned_org_ids | scope.member_org_ids)
