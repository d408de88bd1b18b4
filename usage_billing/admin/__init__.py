"""The admin: edits organisations, price overrides and exchange rates; shows calls and repricing runs.

It registers the app's own models on the project's default site, and changes nothing else there.
"""

from usage_billing.admin import calls, organizations, prices

__all__ = ["calls", "organizations", "prices"]
