"""The admin: organisations, prices, exchange rates and users to edit, calls and re-costings to look at."""

from usage_billing.admin import calls, organizations, people, prices

__all__ = ["calls", "organizations", "people", "prices"]
