"""What the tools may be asked: typed, with the descriptions that a model reads."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Dimension = Literal["agent", "model", "provider", "request-type", "user", "org", "workflow", "content", "status", "tag"]
"""The ends of the API's addresses `by-…`."""
Step = Literal["hour", "day", "week", "month"]
Status = Literal["succeeded", "failed", "aborted", "pending", "refused"]


class Parameters(BaseModel):
    """An unknown name is an error: a filter that is misspelt would change the answer."""

    model_config = ConfigDict(extra="forbid")


class Filters(Parameters):
    """Calls with these values. Several values of one filter: any of them. Several filters: all of them."""

    org: list[str] | None = Field(default=None, description="Organisations: slugs or ids.")
    user: list[str] | None = Field(
        default=None, description="Users' ids, from a breakdown by user. 0: calls without a user."
    )
    agent_id: list[str] | None = Field(default=None, description="Agents. An empty text: calls without one.")
    ai_provider: list[str] | None = Field(default=None, description="Providers, such as openai, anthropic.")
    ai_model: list[str] | None = Field(
        default=None, description="Models by the provider's names, such as gpt-4.1-mini."
    )
    request_type: list[str] | None = Field(default=None, description="Request types. An empty text: calls without one.")
    workflow_id: list[str] | None = Field(
        default=None, description="Workflows. An empty text: calls outside a workflow."
    )
    content_id: list[str] | None = Field(default=None, description="Content, by the application's own ids.")
    status: list[Status] | None = Field(default=None, description="What became of the calls.")
    tags: dict[str, list[str]] = Field(
        default_factory=dict, description='Tags: key → values, such as {"feature": ["search"]}.'
    )

    def query(self, ending: str = "") -> dict[str, Any]:
        """Return the API's parameters. `ending`: `!` to exclude."""
        given = self.model_dump(exclude_none=True, exclude={"tags"})
        tags = {f"tag.{key}": values for key, values in self.tags.items()}
        return {f"{name}{ending}": values for name, values in {**given, **tags}.items() if values}


class CallFilters(Parameters):
    """Filters that only single calls have. Archived calls are left out."""

    unpriced: Literal["usd", "rub"] | None = Field(
        default=None, description="Calls whose cost in this currency is unknown."
    )
    error_code: list[str] | None = Field(default=None, description="Error codes, such as 429 rate_limit_exceeded.")
    price_source: list[str] | None = Field(default=None, description="Price sources, such as unpriced:unknown-model.")


class Period(Parameters):
    """Billing days, in the organisation's time zone. Give `days`, or `from_date` with or without `to_date`."""

    days: int | None = Field(
        default=None, ge=1, le=3660, description="So many days that end with `to_date`, or with today."
    )
    from_date: date | None = Field(default=None, description="First day. This month: its first day, and no to_date.")
    to_date: date | None = Field(default=None, description="Last day, included.")

    def query(self) -> dict[str, str]:
        names = {"from_date": "from", "to_date": "to", "days": "days"}
        return {names[name]: str(value) for name, value in self.model_dump(exclude_none=True).items()}


Included = Annotated[Filters | None, Field(description="Count only the calls with these values.")]
Excluded = Annotated[Filters | None, Field(description="Leave out the calls with these values.")]
Days = Annotated[Period | None, Field(description="The period; the last 30 days if it is left out.")]


def query(
    filters: Filters | None = None, exclude: Filters | None = None, period: Period | None = None, **others: Any
) -> dict[str, Any]:
    """Return the parameters of a request to the API; those without a value are left out."""
    rest: Mapping[str, Any] = {name: _text(value) for name, value in others.items() if value is not None}
    return {
        **(filters.query() if filters else {}),
        **(exclude.query("!") if exclude else {}),
        **(period.query() if period else {}),
        **rest,
    }


def _text(value: Any) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    return value if isinstance(value, list) else str(value)
