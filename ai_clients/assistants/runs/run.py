"""Runs an agent: finds the organisation to charge, lets the agent work, and reads the cost.

No transaction is open while the agent works: a provider may take minutes.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models import Q
from pydantic import BaseModel

from ai_clients.assistants.calls.provider_errors import provider_problem
from ai_clients.assistants.calls.structured import AnswerError, Provider
from ai_clients.assistants.models import ContentPiece
from ai_clients.assistants.runs.agent import AnyAgent
from ai_clients.assistants.runs.measurement import Measurement, measure
from usage_billing.costing.estimates import Estimate
from usage_billing.models import Organization
from usage_billing.recording import collected
from usage_billing.tenancy.scope import Scope


class OrganizationNotFoundError(Exception):
    """The organisation does not exist, is closed, or is not visible to this person; the error does not say which."""


class ContentNotFoundError(Exception):
    """The content piece does not exist, or belongs to another organisation."""


class OrganizationRequiredError(Exception):
    """The person has several organisations to choose from, or none."""


@dataclass(frozen=True)
class Account:
    """The organisation that a run is charged to, and the content piece that it works on, if it does."""

    org: Organization
    piece: ContentPiece | None = None


@dataclass(frozen=True)
class Run:
    """A finished run: the agent's output, and its calls."""

    made: BaseModel
    measured: Measurement

    @property
    def workflow_id(self) -> str:
        return self.measured.workflow_id

    @property
    def spent(self) -> Estimate:
        return self.measured.spent


class UnfinishedRunError(Exception):
    """The provider failed, or its answer is useless: `__cause__` tells which. `spent` must be paid anyway."""

    def __init__(self, provider: Provider, measured: Measurement) -> None:
        super().__init__(measured.workflow_id)
        self.provider = provider
        self.measured = measured

    @property
    def workflow_id(self) -> str:
        return self.measured.workflow_id

    @property
    def spent(self) -> Estimate:
        return self.measured.spent


def account(scope: Scope, *, org: int | str | None = None, content_id: uuid.UUID | None = None) -> Account:
    """The account of a run: the named organisation (id or slug), the content's, or the person's only one.

    Call it within `scope`. Raises `OrganizationNotFoundError`, `ContentNotFoundError`, `OrganizationRequiredError`.
    """
    orgs = Organization.objects.filter(closed_at=None)
    if not scope.everything:
        orgs = orgs.filter(pk__in=scope.owned_org_ids | scope.member_org_ids)
    if org is not None:
        orgs = orgs.filter(Q(pk=org) if isinstance(org, int) else Q(slug=org))
        if not orgs.exists():
            raise OrganizationNotFoundError
    if content_id is not None:
        piece = ContentPiece.objects.select_related("org").filter(pk=content_id, org__in=orgs).first()
        if piece is None:
            raise ContentNotFoundError
        return Account(piece.org, piece)
    if org is None and scope.everything:
        raise OrganizationRequiredError
    found = list(orgs[:2])
    if len(found) != 1:
        raise OrganizationRequiredError
    return Account(found[0])


def filled_in(agent: AnyAgent, given: Mapping[str, Any], piece: ContentPiece | None) -> dict[str, Any]:
    """The input completed from the content piece: its text, title and platform, if the agent takes them."""
    if piece is None:
        return dict(given)
    known = {"text": piece.text, "title": piece.title}
    return {name: value for name, value in known.items() if value and name in agent.input.model_fields} | dict(given)


def run(agent: AnyAgent, given: BaseModel, account: Account, *, user_id: int | None, workflow_id: str = "") -> Run:
    """Let the agent work; return its output and cost. Raises `UnfinishedRunError`. Call it outside every scope."""
    provider, _ = agent.runs_on()
    workflow_id = workflow_id or uuid.uuid4().hex
    piece = account.piece
    with collected() as events:
        try:
            made = agent.run(
                given,
                org=account.org,
                user=user_id,
                content_id=piece,
                workflow_id=workflow_id,
                platform=(piece and piece.platform) or None,
                content_type=(piece and piece.content_type) or None,
            )
        except Exception as error:
            if not isinstance(error, AnswerError) and provider_problem(error) is None:
                raise
            raise UnfinishedRunError(provider, measure(events, workflow_id)) from error
    return Run(made, measure(events, workflow_id))
