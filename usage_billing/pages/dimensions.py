"""The dimensions of breakdowns: their columns, labels, and URL parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from usage_billing.reports import TAG
from usage_billing.tenancy.scope import Scope

Word = Promise | str


@dataclass(frozen=True)
class Dimension:
    """`name`: the value of `by=` and of `group=`. `columns` of reports → URL `parameters`, in the same order."""

    name: str
    columns: tuple[str, ...]
    parameters: tuple[str, ...]
    title: Word
    one: Word
    nothing: Word = "—"

    def key(self, row: Mapping[str, Any]) -> tuple[Any, ...]:
        return tuple(row[column] for column in self.columns)

    def narrowing(self, key: tuple[Any, ...]) -> dict[str, str]:
        """The URL parameters that narrow a page to that row."""
        return {name: "" if value is None else str(value) for name, value in zip(self.parameters, key, strict=True)}


MODEL = Dimension("ai_model", ("ai_provider", "ai_model"), ("ai_provider", "ai_model"), _("Models"), _("Model"))
PROVIDER = Dimension("ai_provider", ("ai_provider",), ("ai_provider",), _("Providers"), _("Provider"))
AGENT = Dimension("agent_id", ("agent_id",), ("agent_id",), _("Agents"), _("Agent"), _("no agent"))
TYPE = Dimension(
    "request_type", ("request_type",), ("request_type",), _("Request types"), _("Request type"), _("no type")
)
ORG = Dimension("org", ("org_id",), ("org",), _("Organisations"), _("Organisation"))
USER = Dimension("user", ("user_id",), ("user",), _("Users"), _("User"), _("system"))
STATUS = Dimension("status", ("status",), ("status",), _("Statuses"), _("Status"))
WORKFLOW = Dimension("workflow_id", ("workflow_id",), ("workflow_id",), _("Workflows"), _("Workflow"), _("no workflow"))
CONTENT = Dimension("content_id", ("content_id",), ("content_id",), _("Content"), _("Content"), _("no content"))

EVERY = (TYPE, MODEL, PROVIDER, AGENT, ORG, USER, STATUS)
"""Dimensions that the rollups have, besides tags."""
WORKFLOWS = (WORKFLOW, CONTENT)
BY_NAME = {each.name: each for each in (*EVERY, *WORKFLOWS)}


def of_tag(key: str) -> Dimension:
    """The values of one tag."""
    return Dimension(f"{TAG}{key}", (f"{TAG}{key}",), (f"{TAG}{key}",), key, key, _("no tag"))


def by_name(name: str) -> Dimension | None:
    """The dimension of that name; None if there is none."""
    if name.startswith(TAG) and len(name) > len(TAG):
        return of_tag(name.removeprefix(TAG))
    return BY_NAME.get(name)


def offered(scope: Scope) -> tuple[Dimension, ...]:
    """The dimensions that tell this person something: organisations if there are several, users to owners."""
    several = scope.everything or len(scope.org_ids) > 1
    users = scope.everything or bool(scope.owned_org_ids)
    return tuple(each for each in EVERY if (each is not ORG or several) and (each is not USER or users))


LABELS: dict[str, Word] = {
    "org": ORG.one,
    "user": USER.one,
    "agent_id": AGENT.one,
    "ai_provider": PROVIDER.one,
    "ai_model": MODEL.one,
    "request_type": TYPE.one,
    "status": STATUS.one,
    "workflow_id": WORKFLOW.one,
    "content_id": CONTENT.one,
    "unpriced": _("Unpriced"),
    "error_code": _("Error"),
    "price_source": _("Price source"),
    "provider_organization": _("Provider's organisation"),
    "provider_project": _("Provider's project"),
    "api_key": _("API key"),
    "user_profile": _("Provider's user profile"),
}
"""URL parameter → the name of the filter."""


def label(parameter: str) -> str:
    """The name of a filter, by its URL parameter without `!`."""
    if parameter.startswith(TAG):
        return gettext("Tag %(key)s") % {"key": parameter.removeprefix(TAG)}
    return str(LABELS[parameter])
