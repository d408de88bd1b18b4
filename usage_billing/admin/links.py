"""Links from the admin to the pages of costs.

The addresses are those of owners and members, which lead superadmins on to the same page over every organisation: not
every link of an admin knows who reads it.
"""

from urllib.parse import urlencode

from django.urls import NoReverseMatch, reverse

from usage_billing.templatetags.links import linked

COSTS_PAGE, CALLS_PAGE = "usage_billing:usage", "usage_billing:usage-calls"


def costs_link(text: str, **query: object) -> str:
    """Return a link to the page of costs with these parameters; the text alone in a project without the page."""
    return str(linked(text, costs_address(**query)))


def calls_link(text: str, **query: object) -> str:
    """Return a link from a number to the calls that it counts; the text alone in a project without the page."""
    return str(linked(text, calls_address(**query)))


def costs_address(**query: object) -> str:
    """Return the address of the page of costs; empty in a project without the page."""
    return _address(COSTS_PAGE, **query)


def calls_address(**query: object) -> str:
    """Return the address of the calls that a number counts; empty in a project without the page."""
    return _address(CALLS_PAGE, **query)


def page_address(name: str, /, *, query: dict[str, object] | None = None, **arguments: object) -> str:
    """Return the address of a page of budgets or alerts; empty in a project without the pages."""
    try:
        return reverse(f"usage_billing:usage-{name}", kwargs=arguments) + (f"?{urlencode(query)}" if query else "")
    except NoReverseMatch:
        return ""


def _address(page: str, /, **query: object) -> str:
    try:
        return f"{reverse(page)}?{urlencode(query)}"
    except NoReverseMatch:
        return ""
