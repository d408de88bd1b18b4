"""The dimensions of breakdowns: their columns, labels, and URL parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from usage_billing.tenancy.scope import Scope

Word = Promise | str


@dataclass(frozen=True, eq=False)
class Dimension:
    """`name`: the value of `by=`. `columns` of reports → URL `parameters`, in the same order."""

    name: str
    columns: tuple[str, ...]
    parameters: tuple[str, ...]
    title: Word
    one: Word
    nothing: Word = ""

    def key(self, row: Mapping[str, Any]) -> tuple[Any, ...]:
        return tuple(row[column] for column in self.columns)

    def narrowing(self, key: tuple[Any, ...]) -> dict[str, str]:
        """The URL parameters that narrow the page to that row."""
        return {name: str(value) for name, value in zip(self.parameters, key, strict=True)}

    def is_narrowed(self, filters: Mapping[str, Any]) -> bool:
        return self.columns[-1] in filters


MODEL = Dimension("ai_model", ("ai_provider", "ai_model"), ("ai_provider", "ai_model"), _("Models"), _("Model"))
AGENT = Dimension("agent_id", ("agent_id",), ("agent_id",), _("Agents"), _("Agent"), _("no agent"))
TYPE = Dimension(
    "request_type", ("request_type",), ("request_type",), _("Request types"), _("Request type"), _("no type")
)
ORG = Dimension("org", ("org_id",), ("org",), _("Organisations"), _("Organisation"))
USER = Dimension("user", ("user_id",), ("user",), _("Users"), _("User"), _("system"))
WORKFLOW = Dimension("workflow_id", ("workflow_id",), ("workflow_id",), _("Workflows"), _("Workflow"))
CONTENT = Dimension("content_id", ("content_id",), ("content_id",), _("Content"), _("Content"))

EVERY = (TYPE, MODEL, AGENT, ORG, USER)
WORKFLOWS = (WORKFLOW, CONTENT)
BY_NAME = {each.name: each for each in EVERY}


def shown(scope: Scope, filters: Mapping[str, Any]) -> tuple[Dimension, ...]:
    """The dimensions to show: organisations if there are several, users to owners and within one organisation."""
    several = scope.everything or len(scope.org_ids) > 1
    narrowed_to_org = "org_id" in filters
    users = bool(scope.owned_org_ids) or (scope.everything and narrowed_to_org)
    return (
        TYPE,
        MODEL,
        AGENT,
        *((ORG,) if several and not narrowed_to_org else ()),
        *((USER,) if users else ()),
    )
