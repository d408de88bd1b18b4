"""Extension points: other apps add functions that give the pages names and addresses."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from django.http import HttpRequest

from usage_billing.tenancy.scope import Scope

SIMULATOR = "simulator"

destination_sources: list[Callable[[], Mapping[str, str]]] = []
"""Functions that return where calls go now: provider → `SIMULATOR` or an address."""

content_sources: list[Callable[[Scope, Collection[str]], Mapping[str, str]]] = []
"""Functions of a scope and `content_id`s that return content id → title, for content the person may see."""

admin_lists: list[Callable[[], Sequence[tuple[Any, str]]]] = []
"""Functions that return further lists of the admin for the sidebar: title and `app.Model`."""

admin_links: list[Callable[[HttpRequest], Sequence[tuple[Any, str]]]] = []
"""Functions that return further pages for the sidebar, for the person of the request: title and address."""


@dataclass(frozen=True)
class AccountChoice:
    """A checkbox on the account page. write: saves what the person chose."""

    name: str
    label: str
    help_text: str
    is_chosen: bool
    write: Callable[[bool], None]


account_choices: list[Callable[[Any], Sequence[AccountChoice]]] = []
"""Functions that return the choices of a user on the account page, such as which digests they want by e-mail."""


def destinations() -> dict[str, str]:
    """Provider → `SIMULATOR` or the host; a password or key in the address is removed."""
    addresses = {provider: address for source in destination_sources for provider, address in source().items()}
    return {
        provider: address if address == SIMULATOR else urlsplit(address).netloc.rpartition("@")[2]
        for provider, address in addresses.items()
    }


def content_titles(scope: Scope, ids: Collection[str]) -> dict[str, str]:
    """Content id → title, where a source knows one."""
    if not ids:
        return {}
    return {id_: title for source in content_sources for id_, title in source(scope, ids).items()}
