"""`POST /api/cron/…`: the jobs, for a cron that can only send HTTP requests.

The answer comes when the job is done. With many organisations use the commands: they show progress, and no server's
time limit stops them.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import Throttled
from rest_framework.request import Request
from rest_framework.response import Response

from ai_clients.assistants.api import examples
from ai_clients.assistants.api.cron_secret import CronSecret, IsCron
from ai_clients.assistants.digest.job import due_organizations, send_digests
from ai_clients.assistants.participants.role_updates import due_participants, update_roles
from usage_billing.api.base import ApiView
from usage_billing.api.examples import answered
from usage_billing.api.schema import refusal
from usage_billing.auth.limits import Limit, take

RUNS_AN_HOUR = 12


_FAILURES = "The failures, with their reasons."


class RoleFailureSerializer(serializers.Serializer[dict[str, Any]]):
    """A participant who was not analysed."""

    org_id = serializers.IntegerField(help_text="Id of the organisation.")
    participant_id = serializers.IntegerField(help_text="Id of the participant.")
    error = serializers.CharField(help_text="Kind of the error, and its text.")


class RoleUpdatesSerializer(serializers.Serializer[dict[str, Any]]):
    """The number of participants by the outcome of their analysis."""

    organizations = serializers.IntegerField(help_text="Number of organisations whose participants were due.")
    analysed = serializers.IntegerField(help_text="Number of participants with a new profile.")
    skipped = serializers.IntegerField(help_text="Number of participants whom another run analysed meanwhile.")
    failed = serializers.IntegerField(help_text="Number of participants whose analysis failed.")
    failures = RoleFailureSerializer(many=True, help_text=_FAILURES)


class DigestFailureSerializer(serializers.Serializer[dict[str, Any]]):
    """An organisation whose digest was not sent."""

    org_id = serializers.IntegerField(help_text="Id of the organisation.")
    error = serializers.CharField(help_text="Kind of the error, and its text.")


class DigestsSerializer(serializers.Serializer[dict[str, Any]]):
    """The number of organisations by the outcome of their digest."""

    sent = serializers.IntegerField(help_text="Number of organisations whose digest was sent.")
    already = serializers.IntegerField(help_text="Number of those whose digest another run sent meanwhile.")
    quiet = serializers.IntegerField(help_text="Number of those without a call in the last two weeks.")
    nobody = serializers.IntegerField(help_text="Number of those without an owner who has an e-mail address.")
    failed = serializers.IntegerField(help_text="Number of those whose digest could not be sent.")
    failures = DigestFailureSerializer(many=True, help_text=_FAILURES)


def _described(operation_id: str, answer: type[serializers.Serializer[Any]], example: dict[str, Any]) -> dict[str, Any]:
    return {
        "operation_id": operation_id,
        "request": None,
        "responses": {200: answer, 401: refusal("No secret, or a wrong one.", examples.WITHOUT_SECRET)},
        "examples": [answered(example)],
    }


class CronView(ApiView):
    tag = "Cron"
    authentication_classes = (CronSecret,)
    permission_classes = (IsCron,)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Start a job at most `RUNS_AN_HOUR` times an hour: a stolen secret cannot run up a bill."""
        super().initial(request, *args, **kwargs)
        if seconds := take(Limit(f"cron:{type(self).__name__}", RUNS_AN_HOUR, timedelta(hours=1))):
            raise Throttled(seconds)


class UpdateParticipantRolesView(CronView):
    """Update participant roles.

    Analyses the participants of all organisations who wrote something new, and returns their numbers and the failures.
    For a scheduler with the `CRON_SECRET`, at most twelve times an hour. The answer comes when the job is done.
    """

    @extend_schema(**_described("cron_update_participant_roles", RoleUpdatesSerializer, examples.ROLE_UPDATES))
    def post(self, request: Request) -> Response:
        summary = update_roles(due_participants(timezone.now()))
        failures: list[dict[str, Any]] = [{**key._asdict(), "error": why} for key, why in summary.failures.items()]
        return Response(RoleUpdatesSerializer({**vars(summary), "failures": failures}).data)


class SendWeeklyDigestsView(CronView):
    """Send weekly digests.

    Sends last week's digests that have not gone out yet, and returns the numbers of organisations by outcome and the
    failures. For a scheduler with the `CRON_SECRET`, at most twelve times an hour. The answer comes when the job is
    done.
    """

    @extend_schema(**_described("cron_send_weekly_digests", DigestsSerializer, examples.DIGESTS))
    def post(self, request: Request) -> Response:
        now = timezone.now()
        summary = send_digests(due_organizations(now), now)
        failures = [{"org_id": org_id, "error": why} for org_id, why in summary.failures.items()]
        return Response(DigestsSerializer({**vars(summary), "failures": failures}).data)
