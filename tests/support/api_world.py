"""A data set with several tenants, all kinds of people and all kinds of calls."""

from __future__ import annotations

import itertools
import random
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.contrib.auth.models import User
from rest_framework.test import APIClient

from tests.support import factories, rows
from usage_billing.models import Membership, Organization, UsageRecord

BILLING = "/api/billing/usage/tokens"
BREAKDOWNS = {
    "by-agent": ("agent_id",),
    "by-model": ("ai_provider", "ai_model"),
    "by-provider": ("ai_provider",),
    "by-request-type": ("request_type",),
    "by-status": ("status",),
    "by-user": ("user_id",),
    "by-org": ("org_id",),
    "by-workflow": ("workflow_id",),
    "by-content": ("content_id",),
}
REPORTS = ("summary", "history", *BREAKDOWNS, "detailed", "export")
"""Reports that need no parameter; `by-tag` needs the tag's key."""

STOPPED: dict[str, Any] = {
    **dict.fromkeys(("prompt_tokens", "completion_tokens", "total_tokens", "execution_time_ms"), 0),
    "cost_usd": Decimal(0),
    "cost_rub": Decimal(0),
}
"""What a call that a budget stopped has used."""
_CALLS = 20
"""The number of calls of each organisation."""


class World:
    """Three tenants. Their names, agents, models, workflows and contents tell to which tenant they belong."""

    def __init__(self, now: datetime) -> None:
        self.now = now
        self.orgs: dict[str, Organization] = {
            name: factories.organization(f"{name}-org") for name in ("red", "green", "blue")
        }
        red, green, blue = self.orgs.values()
        self.people: dict[str, User] = {
            "superadmin": factories.superadmin("boss"),
            "owner": factories.owner(red, "red-owner"),
            "owner_of_two": factories.owner(green, "green-owner"),
            "member": factories.member(red, "red-member"),
            "member_and_owner": factories.member(red, "blue-owner"),
            "left": factories.user("red-left"),
            "staff": factories.user("staff", is_staff=True),
            "inactive": factories.owner(red, "red-inactive"),
        }
        self.join(blue, "owner_of_two", Membership.Role.OWNER)
        self.join(blue, "member_and_owner", Membership.Role.OWNER)
        User.objects.filter(pk=self.people["inactive"].pk).update(is_active=False)
        self._enter_calls()

    def join(self, org: Organization, person: str, role: str) -> None:
        Membership.objects.create(org=org, user=self.people[person], role=role)

    def _enter_calls(self) -> None:
        dice, tag_dice = random.Random(7), random.Random(8)
        amounts: list[dict[str, Any]] = [
            {},
            {"cost_usd": Decimal("12.34375")},
            {"cost_rub": None, "usd_rub_rate": None},
            {"cost_usd": None, "cost_rub": None, "usd_rub_rate": None},
        ]
        callers = {
            "red": ["owner", "member", "member_and_owner", "left", None],
            "green": ["owner_of_two", "left", None],
            "blue": ["owner_of_two", "member_and_owner", "superadmin", None],
        }
        made = []
        for (name, org), number in itertools.product(self.orgs.items(), range(_CALLS)):
            caller = callers[name][number % len(callers[name])]
            made.append(
                rows.row(
                    org,
                    user_id=caller and self.people[caller].pk,
                    created_at=self.now - timedelta(days=dice.choice([0, 0, 1, 5, 29, 40, 70]), seconds=number),
                    agent_id=dice.choice(["", "common-agent", f"{name}-agent"]),
                    request_type=dice.choice(["", "common-type", f"{name}-type"]),
                    ai_provider=dice.choice(["openai", f"{name}-provider"]),
                    ai_model=dice.choice(["common-model", f"{name}-model"]),
                    workflow_id=dice.choice([None, "common-workflow", f"{name}-workflow"]),
                    content_id=dice.choice([None, "common-content", f"{name}-content"]),
                    status=dice.choice(["succeeded", "refused", "failed", "aborted", "pending"]),
                    request_id=f"{name}-request-{number:02}",
                    prompt_tokens=dice.randrange(1, 1000),
                    execution_time_ms=dice.randrange(1, 1000),
                    request_metadata={"note": f"{name}-note"},
                    tags=tag_dice.choice(
                        [{}, {"feature": "search"}, {"env": "prod"}, {"feature": f"{name}-feature", "env": "prod"}]
                    ),
                    **dice.choice(amounts),
                )
            )
        rows.enter(*(row | STOPPED if row["status"] == "refused" else row for row in made))

    def sees(self, person: str, call: UsageRecord) -> bool:
        """Whether the person's memberships let them see the call (guarantee 9, docs/guarantees.md)."""
        user = User.objects.get(pk=self.people[person].pk)
        if not user.is_active:
            return False
        if user.is_superuser:
            return True
        role = Membership.objects.filter(org=call.org_id, user=user).values_list("role", flat=True).first()
        return role == "owner" or (role == "member" and call.user_id == user.pk)

    def calls_of(self, person: str) -> list[UsageRecord]:
        return [call for call in UsageRecord.objects.all() if self.sees(person, call)]

    def client(self, person: str | None) -> APIClient:
        """An API client of the person; None: anonymous."""
        client = APIClient()
        if person is not None:
            client.force_login(self.people[person])
        return client


def ask(client: APIClient, report: str, **query: Any) -> Any:
    """Request a report other than the export, and return its data."""
    answer = client.get(f"{BILLING}/{report}", query)
    assert answer.status_code == 200, answer.content
    return answer.json()["data"]
