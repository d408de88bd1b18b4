"""`POST /api/cron/…`: the jobs, for a cron that can do no more than an HTTP request.

The answer comes when the job is done. With many organisations the commands are the better way: they show their
progress, and no server's time limit cuts them short.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from django.utils import timezone
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from ai_clients.api.cron_secret import CronSecret
from ai_clients.digest.job import due_organizations, send_digests
from ai_clients.role_updates import due_participants, update_roles


class CronView(APIView):
    authentication_classes = (CronSecret,)
    permission_classes = (AllowAny,)  # whoever gets past the authentication


class UpdateParticipantRolesView(CronView):
    """Analyses all participants who wrote something new; answers with how many, and what went wrong."""

    def post(self, request: Request) -> Response:
        summary = update_roles(due_participants(timezone.now()))
        failures: list[dict[str, Any]] = [{**key._asdict(), "error": why} for key, why in summary.failures.items()]
        return Response({**asdict(summary), "failures": failures})


class SendWeeklyDigestsView(CronView):
    """Sends the digests of last week that have not gone out yet; answers with how many, and what went wrong."""

    def post(self, request: Request) -> Response:
        now = timezone.now()
        summary = send_digests(due_organizations(now), now)
        failures = [{"org_id": org_id, "error": why} for org_id, why in summary.failures.items()]
        return Response({**asdict(summary), "failures": failures})
