"""URLs of the assistants, under `/api/`; a trailing slash is optional."""

from django.urls import re_path

from ai_clients.assistants.api.cron import SendWeeklyDigestsView, UpdateParticipantRolesView
from ai_clients.assistants.api.custom_analysis import CustomAnalysisView
from ai_clients.assistants.api.participants import EnrichParticipantView
from ai_clients.assistants.api.views import AgentListView, AgentRunView

urlpatterns = [
    re_path(r"^agents/?$", AgentListView.as_view(), name="agents"),
    re_path(r"^agents/(?P<agent_id>[^/]+)/run/?$", AgentRunView.as_view(), name="agent-run"),
    re_path(
        r"^participants/(?P<participant_id>[0-9]{1,100})/enrich-ai/?$",
        EnrichParticipantView.as_view(),
        name="enrich-participant",
    ),
    re_path(r"^custom-analysis/?$", CustomAnalysisView.as_view(), name="custom-analysis"),
    re_path(
        r"^cron/update-participant-roles/?$",
        UpdateParticipantRolesView.as_view(),
        name="cron-update-participant-roles",
    ),
    re_path(
        r"^cron/send-weekly-digests/?$",
        SendWeeklyDigestsView.as_view(),
        name="cron-send-weekly-digests",
    ),
]
