"""The tools: each asks the API once. Docstrings are what a model reads before it chooses one."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from mcp.server.mcpserver.exceptions import ToolError
from pydantic import Field

from usage_billing.mcp_server.api_client import ApiClient
from usage_billing.mcp_server.parameters import (
    CallFilters,
    Days,
    Dimension,
    Excluded,
    Included,
    Step,
    query,
)

Answer = dict[str, Any]
"""`data`: as the API answers. `units`: what its figures mean."""

UNITS = {
    "cost_usd": "US dollars, a decimal string; null: unknown; 0: free",
    "cost_rub": "Russian roubles, a decimal string; null: unknown",
    "unpriced_count": "calls whose cost in USD is unknown; cost_usd does not contain them, so say so if it is not 0",
    "requests_count": "calls; refused_count of them were stopped by a budget and cost nothing",
    "prompt_tokens": "tokens, cached and cache-written ones included",
    "completion_tokens": "tokens, reasoning included",
    "…_time_ms": "milliseconds",
    "share, change": "fractions: 0.25 is 25 %; change is against the period before",
    "date, from, to": "billing days in the organisation's time zone, both included",
}
BUDGET_UNITS = {
    "limit, spent, reserved, remaining, forecast": "decimal strings in the budget's `unit`: usd, rub, tokens or calls",
    "unpriced_count": "calls that `spent` cannot contain: their cost is unknown",
    "null": "not shown to this token, or not known",
}

Limit = Annotated[int, Field(ge=1, le=200, description="The number of items.")]


class Tools:
    def __init__(self, api: ApiClient) -> None:
        self._api = api

    def summary(self, filters: Included = None, exclude: Excluded = None) -> Answer:
        """What AI calls cost today, this month and in all time: cost, calls and tokens.

        Begin here to answer "what does the month cost". Everything that the token may see, or the calls that filters
        leave.
        """
        return self._usage("summary", query(filters, exclude))

    def history(
        self,
        period: Days = None,
        step: Annotated[Step, Field(description="Length of a step. By hour: at most 7 days.")] = "day",
        filters: Included = None,
        exclude: Excluded = None,
    ) -> Answer:
        """How cost, calls and tokens went over a period: one item an hour, day, week or month, oldest first."""
        return self._usage("history", query(filters, exclude, period, step=step))

    def breakdown(
        self,
        by: Annotated[Dimension, Field(description="What to divide the cost by.")],
        tag_key: Annotated[str | None, Field(description="With by=tag: the key of the tag, such as feature.")] = None,
        then_by: Annotated[
            str | None,
            Field(
                description="A second dimension for pairs: org, user, agent_id, ai_provider, ai_model, request_type, "
                "workflow_id, content_id, status or tag.<key>."
            ),
        ] = None,
        period: Days = None,
        filters: Included = None,
        exclude: Excluded = None,
        ordering: Annotated[
            str,
            Field(
                description="A figure of the items, with a minus largest first: -cost_usd, -requests_count, "
                "-total_tokens, -unpriced_count, -average_cost_usd, -p95_time_ms …"
            ),
        ] = "-cost_usd",
        limit: Limit = 20,
    ) -> Answer:
        """Where the money goes: cost, calls and tokens by agent, model, provider, request type, user, organisation,
        workflow, content, status or tag.

        Each item has its share and its change against the period before; `other` sums up the items beyond the limit,
        and `total` all of them.
        """
        if (by == "tag") != bool(tag_key):
            raise ToolError("Give `tag_key` with by=tag, and only then: the key of the tag, such as feature.")
        return self._usage(
            f"by-{by}",
            query(filters, exclude, period, key=tag_key, then_by=then_by, ordering=ordering, limit=limit),
        )

    def calls(
        self,
        period: Annotated[Days, Field(description="The period; all time if it is left out.")] = None,
        filters: Included = None,
        exclude: Excluded = None,
        only: Annotated[CallFilters | None, Field(description="Narrow further by what single calls have.")] = None,
        ordering: Annotated[
            Literal["-created_at", "created_at", "-cost_usd", "cost_usd", "-total_tokens", "-execution_time_ms"],
            Field(description="With a minus: largest or newest first. By cost, calls of unknown cost are left out."),
        ] = "-created_at",
        limit: Limit = 20,
        cursor: Annotated[str | None, Field(description="`next_cursor` of the page before, same ordering.")] = None,
    ) -> Answer:
        """Single calls, newest or most expensive first, with their attribution, tokens and cost; and their total.

        No prompts and no answers: they are never stored.
        """
        narrowing = only.model_dump(exclude_none=True) if only else {}
        return self._usage(
            "detailed", query(filters, exclude, period, ordering=ordering, limit=limit, cursor=cursor, **narrowing)
        )

    def call(self, id: Annotated[int, Field(ge=1, description="`id` of a call in the list of calls.")]) -> Answer:
        """One call with everything that is recorded about it; `price_source` says why its cost is unknown."""
        return self._usage(f"detailed/{id}", {})

    def budgets(
        self,
        org: Annotated[str | None, Field(description="Organisation: slug or id.")] = None,
        is_active: Annotated[bool | None, Field(description="Only active ones, or only inactive ones.")] = None,
        limit: Annotated[int, Field(ge=1, le=100, description="The number of budgets.")] = 50,
        offset: Annotated[int, Field(ge=0, description="The number of budgets to skip.")] = 0,
    ) -> Answer:
        """Budgets: limit, what is spent and reserved, what is left, when it resets, and what is expected."""
        found = self._api.get("budgets", query(org=org, is_active=is_active, limit=limit, offset=offset))
        return {"data": found, "units": BUDGET_UNITS}

    def _usage(self, report: str, parameters: dict[str, Any]) -> Answer:
        return {"data": self._api.get(f"usage/tokens/{report}", parameters), "units": UNITS}
