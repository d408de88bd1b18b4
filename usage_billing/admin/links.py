"""Links from the admin to the page of costs."""

from urllib.parse import urlencode

from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html

from usage_billing.tenancy.scope import Scope

COSTS_PAGE = "usage_billing:ai-costs"
OWN_COSTS_PAGE = "usage_billing:usage"
"""The page of people who are no superadmins."""


def costs_link(text: str, **query: object) -> str:
    """Return a link to the superadmins' page of costs with these parameters; the text alone without the page."""
    try:
        address = reverse(COSTS_PAGE)
    except NoReverseMatch:
        return text
    return format_html('<a href="{}?{}">{}</a>', address, urlencode(query), text)


def costs_address(scope: Scope, **query: object) -> str:
    """Return the address of the page of costs for people of this scope; empty in a project without the page."""
    try:
        address = reverse(COSTS_PAGE if scope.everything else OWN_COSTS_PAGE)
    except NoReverseMatch:
        return ""
    return f"{address}?{urlencode(query)}"
