"""Pages: AI costs, one call, log-in and account. The lists are extension points (`hooks`)."""

from usage_billing.pages.hooks import account_choices, admin_links, admin_lists, content_sources, destination_sources

__all__ = ["account_choices", "admin_links", "admin_lists", "content_sources", "destination_sources"]
