"""`POST /api/custom-analysis`."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from ai_clients.assistants.api import examples
from ai_clients.assistants.api.errors import RESPONSES, answered, count_run
from ai_clients.assistants.custom_analysis import analysis as custom_analysis
from ai_clients.assistants.custom_analysis.analysis import (
    LONGEST_QUESTION,
    MOST_TEXTS,
    SelectionError,
    TextNotFoundError,
)
from ai_clients.assistants.models import ContentPiece, Message
from usage_billing.api.base import ApiView
from usage_billing.api.examples import answered as answered_with
from usage_billing.api.examples import sent
from usage_billing.api.schema import refusal
from usage_billing.models.fields import LARGEST_ID
from usage_billing.tenancy.scope import scoped


class QuestionSerializer(serializers.Serializer[dict[str, Any]]):
    """A question over messages, content pieces or both, all of one organisation, which is charged."""

    question = serializers.CharField(max_length=LONGEST_QUESTION, help_text="The question, in any language.")
    message_ids = serializers.ListField(
        child=serializers.IntegerField(min_value=1, max_value=LARGEST_ID),
        max_length=MOST_TEXTS,
        default=list,
        help_text="Ids of messages.",
    )
    content_ids = serializers.ListField(
        child=serializers.UUIDField(), max_length=MOST_TEXTS, default=list, help_text="Ids of content pieces."
    )


class EvidenceSerializer(serializers.Serializer[Message | ContentPiece]):
    """A text that the answer rests on."""

    type = serializers.SerializerMethodField(help_text="Kind of text: `message` or `content`.")
    id = serializers.CharField(source="pk", help_text="Id of the text: a message has a number, content a UUID.")

    def get_type(self, text: Message | ContentPiece) -> str:
        return "message" if isinstance(text, Message) else "content"


class AnalysisSerializer(serializers.Serializer[custom_analysis.Analysis]):
    """An answer with its evidence."""

    answer = serializers.CharField(help_text="The answer, for people.")
    is_answered = serializers.BooleanField(help_text="Whether the texts hold an answer.")
    evidence = EvidenceSerializer(many=True, help_text="Texts that the answer rests on, most important first.")


class CustomAnalysisView(ApiView):
    """Ask a question about texts.

    Returns the model's answer and the texts that it rests on. For owners and members of the organisation that the texts
    belong to, which is charged, and for superadmins. The cost stands in the reports, under the request type
    `custom_analysis`.
    """

    tag = "Analysis"

    @extend_schema(
        operation_id="custom_analysis",
        request=QuestionSerializer,
        responses={
            **RESPONSES,
            200: AnalysisSerializer,
            400: refusal("A field is not valid; `details` names it.", examples.WITHOUT_QUESTION),
            404: refusal("A text does not exist, or the caller may not see it.", examples.NO_TEXT),
        },
        examples=[sent(examples.QUESTION), answered_with(examples.ANALYSIS)],
    )
    def post(self, request: Request) -> Response:
        asked = QuestionSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        given = asked.validated_data
        try:
            with scoped(request.user) as scope:
                selection = custom_analysis.select(scope, given["message_ids"], given["content_ids"])
        except TextNotFoundError as error:
            raise NotFound(str(error)) from error
        except SelectionError as error:
            raise ValidationError({"message_ids": [str(error)]}) from error
        count_run(user_id=request.user.pk, org_id=selection.org_id)
        with answered():
            analysis = custom_analysis.analyze(given["question"], selection, user_id=request.user.pk)
        return Response(AnalysisSerializer(analysis).data)
