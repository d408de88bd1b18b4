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

from ai_clients.assistants.api.cron_secret import CronSecret, IsCron
from ai_clients.assistants.digest.job import due_organizations, send_digests
from ai_clients.assistants.participants.role_updates import due_participants, update_roles
from usage_billing.api.base import ApiView
from usage_billing.auth.limits import Limit, take

RUNS_AN_HOUR = 12


class RoleFailureSerializer(serializers.Serializer[dict[str, Any]]):
    org_id = serializers.IntegerField()
    participant_id = serializers.IntegerField()
    error = serializers.CharField()


class RoleUpdatesSerializer(serializers.Serializer[dict[str, Any]]):
    """The number of participants analysed, skipped (another run was quicker) and failed, and of their organisations."""

    organizations = serializers.IntegerField()
    analysed = serializers.IntegerField()
    skipped = serializers.IntegerField()
    failed = serializers.IntegerField()
    failures = RoleFailureSerializer(many=True)


class DigestFailureSerializer(serializers.Serializer[dict[str, Any]]):
    org_id = serializers.IntegerField()
    error = serializers.CharField()


class DigestsSerializer(serializers.Serializer[dict[str, Any]]):
    """The number of organisations by the outcome of their digest."""

    sent = serializers.IntegerField()
    already = serializers.IntegerField(help_text="Sent by another run in the meantime.")
    quiet = serializers.IntegerField(help_text="Without a call in either week.")
    nobody = serializers.IntegerField(help_text="Without an owner who has an e-mail address.")
    failed = serializers.IntegerField()
    failures = DigestFailureSerializer(many=True)


class CronView(ApiView):
    authentication_classes = (CronSecret,)
    permission_classes = (IsCron,)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Start a job at most `RUNS_AN_HOUR` times an hour: a stolen secret cannot run up a bill."""
        super().initial(request, *args, **kwargs)
        if seconds := take(Limit(f"cron:{type(self).__name__}", RUNS_AN_HOUR, timedelta(hours=1))):
            raise Throttled(seconds)


class UpdateParticipantRolesView(CronView):
    """Analyse all participants who wrote something new; answer with their numbers and the failures."""

    @extend_schema(operation_id="cron_update_participant_roles", request=None, responses=RoleUpdatesSerializer)
    def post(self, request: Request) -> Response:
        summary = update_roles(due_participants(timezone.now()))
        failures: list[dict[str, Any]] = [{**key._asdict(), "error": why} for key, why in summary.failures.items()]
        return Response(RoleUpdatesSerializer({**vars(summary), "failures": failures}).data)


class SendWeeklyDigestsView(CronView):
    """Send last week's digests that have not gone out yet; answer with their numbers and the failures."""

    @extend_schema(operation_id="cron_send_weekly_digests", request=None, responses=DigestsSerializer)
    def post(self, request: Request) -> Response:
        now = timezone.now()
        summary = send_digests(due_organizations(now), now)
        failures = [{"org_id": org_id, "error": why} for org_id, why in summary.failures.items()]
        return Response(DigestsSerializer({**vars(summary), "failures": failures}).data)
