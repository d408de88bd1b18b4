"""The assistants' own page in the sidebar."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.translation import gettext_lazy as _


def agents_link(request: HttpRequest) -> Sequence[tuple[Any, str]]:
    """The page of the agents, for those who may run one; nothing in a project without the admin."""
    if not request.user.has_perm("ai_assistants.change_contentpiece"):
        return []
    try:
        return [(_("Agents"), reverse("admin:ai_assistants_agents"))]
    except NoReverseMatch:
        return []
