"""Pages: AI costs, one call, log-in and account. The lists are extension points (`hooks`)."""

from usage_billing.pages.hooks import admin_lists, content_sources, destination_sources

__all__ = ["admin_lists", "content_sources", "destination_sources"]
