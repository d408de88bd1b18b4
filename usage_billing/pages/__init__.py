"""Pages: AI costs, one call, log-in and account. The two lists are extension points (`hooks`)."""

from usage_billing.pages.hooks import content_sources, destination_sources

__all__ = ["content_sources", "destination_sources"]
