"""`POST /api/participants/<id>/enrich-ai`."""

from __future__ import annotations

from django.db.models import QuerySet
from django.utils.translation import gettext
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

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
from usage_billing.api.schema import refusal
from usage_billing.tenancy.scope import Scope, scoped


class EnrichmentOptionsSerializer(serializers.Serializer[EnrichmentOptions]):
    max_messages = serializers.IntegerField(
        min_value=1, max_value=MOST_MESSAGES, default=EnrichmentOptions.max_messages, help_text="The newest are read."
    )


class ParticipantSerializer(serializers.ModelSerializer[Participant]):
    """The profile, and when the messages were read for it."""

    class Meta:
        model = Participant
        fields = ("id", "org", "external_id", "name", "interests", "role", "activity", "tone", "analysed_at")


class EnrichParticipantView(ApiView):
    """Analyses the participant's messages; returns the new profile. For owners and members of the organisation."""

    @extend_schema(
        operation_id="participants_enrich",
        parameters=[OpenApiParameter("participant_id", int, OpenApiParameter.PATH)],
        request=EnrichmentOptionsSerializer,
        responses={
            200: ParticipantSerializer,
            409: refusal("There is nothing to analyse, or an analysis is under way."),
            **RESPONSES,
        },
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
