"""`python -m bench.visits <base address>`: each page and endpoint, by each of three people, once a line of input.

Prints one line of JSON for each: “person, address” → milliseconds over HTTP, until the last byte.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from datetime import timedelta
from decimal import Decimal
from typing import Any

import django
from django.utils import timezone

from bench.questions import PEOPLE, Visitor

ASKINGS = 3
LONG_S = 2
"""A request that takes longer is asked once a round."""
USAGE = "/api/billing/usage/tokens"
REPORTS = (
    *("history", "by-agent", "by-model", "by-provider", "by-request-type", "by-status", "by-user", "by-org"),
    *("by-workflow", "by-content", "by-tag"),
)
BUDGETS: tuple[dict[str, str], ...] = (
    {"name": "all"},
    {"name": "an agent", "agent_id": "repurpose"},
    {"name": "a model", "ai_model": "gpt-6-luna"},
)

Figures = dict[str, float]


class Visits(Visitor):
    """The addresses of each person. The owner's organisation gets budgets, for a page without any shows nothing."""

    def __init__(self, base: str) -> None:
        super().__init__(base)
        from usage_billing.models import Budget, Membership

        org_id = Membership.objects.get(user=self.users["owner"]).org_id
        self.today = timezone.localdate()
        for each in BUDGETS:
            given = {"limit": Decimal(1000), "starts_on": self.today} | {k: v for k, v in each.items() if k != "name"}
            Budget.objects.get_or_create(org_id=org_id, name=each["name"], defaults=given)
        self.newest = {role: self._newest(user) for role, user in self.users.items()}

    def _newest(self, user: Any) -> int:
        from usage_billing import reports
        from usage_billing.tenancy.scope import scoped

        with scoped(user) as scope:
            return int(reports.calls(scope)[0].pk)

    def round(self) -> Figures:
        figures: Figures = {}
        for role in PEOPLE:
            self.http.close()  # the server has ended it, idle as it was
            session = {"Cookie": self.cookies[role]}
            for name, path in self.pages(role).items():
                figures[f"{role}, {name}"] = self._ask(path, session)
            token = {"Authorization": f"Bearer {self.token(role)}"}
            for name, path in self.endpoints(role).items():
                figures[f"{role}, {name}"] = self._ask(path, token)
        return figures | {f"superadmin, {path}": self._ask(path, {}) for path in ("/healthz", "/metrics")}

    def pages(self, role: str) -> dict[str, str]:
        below = "/superadmin/ai-costs" if role == "superadmin" else "/usage"
        days = "?days=90"
        for_owners = {"Tokens": f"{below}/tokens"} if role != "member" else {}
        return {
            "Overview": f"{below}/{days}" if role != "superadmin" else f"{below}{days}",
            "Explore by agent": f"{below}/explore{days}&group=agent_id",
            "Explore by user": f"{below}/explore{days}&group=user",
            "Explore by model and type": f"{below}/explore{days}&group=ai_model&then=request_type",
            "Calls": f"{below}/calls{days}",
            "Calls by cost": f"{below}/calls{days}&sort=-cost_usd",
            "Calls of the rarest model": f"{below}/calls{days}&ai_model=gpt-7-preview",
            "Insights": f"{below}/insights{days}",
            "One call": f"{below}/calls/{self.newest[role]}",
            "Budgets": f"{below}/budgets",
            "Alerts": f"{below}/alerts",
            **for_owners,
        }

    def endpoints(self, role: str) -> dict[str, str]:
        days = "?period_days=90"
        reports = {f"API {name}": f"{USAGE}/{name}{days}" for name in REPORTS}
        reports["API by-tag"] += "&key=feature"
        if role != "superadmin":
            del reports["API by-org"]
        yesterday = self.today - timedelta(days=1)
        return {
            "API summary": f"{USAGE}/summary",
            **reports,
            "API detailed": f"{USAGE}/detailed{days}&limit=50",
            "API detailed/<id>": f"{USAGE}/detailed/{self.newest[role]}",
            "API export of a day": f"{USAGE}/export?from={yesterday}&to={yesterday}",
            "API budgets": "/api/billing/budgets",
        }

    def _ask(self, path: str, headers: dict[str, str]) -> float:
        taken: list[float] = []
        while len(taken) < ASKINGS and sum(taken) < LONG_S:
            began = time.perf_counter()
            self.get(path, headers)
            taken.append(time.perf_counter() - began)
        return statistics.median(taken) * 1000


def main() -> None:
    django.setup()
    visits = Visits(sys.argv[1])
    visits.round()  # warm-up
    for _ in sys.stdin:
        print(json.dumps(visits.round()), flush=True)


if __name__ == "__main__":
    main()
