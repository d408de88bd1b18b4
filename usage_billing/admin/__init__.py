"""The admin: edits organisations, price overrides and exchange rates; shows calls, budgets and alerts, reprices calls.

It registers the app's own models on the project's default site, and changes nothing else there.
"""

from usage_billing.admin import alerts, budgets, calls, exchange_rates, organizations, price_overrides, repricing

__all__ = ["alerts", "budgets", "calls", "exchange_rates", "organizations", "price_overrides", "repricing"]
