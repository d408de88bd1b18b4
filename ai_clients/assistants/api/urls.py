"""Addresses of the agents, under `/api/`; a trailing slash is optional."""

from django.urls import re_path

from ai_clients.assistants.api.views import AgentListView, AgentRunView

urlpatterns = [
    re_path(r"^agents/?$", AgentListView.as_view(), name="agents"),
    re_path(r"^agents/(?P<agent_id>[^/]+)/run/?$", AgentRunView.as_view(), name="agent-run"),
]
