"""Links from the admin to the page of costs."""

from urllib.parse import urlencode

from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html

COSTS_PAGE = "usage_billing:ai-costs"


def costs_link(text: str, **query: object) -> str:
    """Return a link to the page of costs with these parameters; the text alone in a project without the page."""
    try:
        address = reverse(COSTS_PAGE)
    except NoReverseMatch:
        return text
    return format_html('<a href="{}?{}">{}</a>', address, urlencode(query), text)
