"""The admin: edits organisations, price overrides and exchange rates; shows calls, reprices them.

It registers the app's own models on the project's default site, and changes nothing else there.
"""

from usage_billing.admin import calls, exchange_rates, organizations, price_overrides, repricing

__all__ = ["calls", "exchange_rates", "organizations", "price_overrides", "repricing"]
