"""What other applications tell the pages; each adds a function of its own when it is ready."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from urllib.parse import urlsplit

from usage_billing.tenancy.scope import Scope

SIMULATOR = "simulator"

destination_sources: list[Callable[[], Mapping[str, str]]] = []
"""Each says where calls go now: provider → `SIMULATOR` or its address. The app that makes the calls adds its own."""

content_sources: list[Callable[[Scope, Collection[str]], Mapping[str, str]]] = []
"""Each names pieces of content that a person may see: their scope, `content_id`s → titles of those that it knows."""


def destinations() -> dict[str, str]:
    """Provider → `SIMULATOR` or the host, without what an address can carry besides: a password, a key."""
    addresses = {provider: address for source in destination_sources for provider, address in source().items()}
    return {
        provider: address if address == SIMULATOR else urlsplit(address).netloc.rpartition("@")[2]
        for provider, address in addresses.items()
    }


def content_titles(scope: Scope, ids: Collection[str]) -> dict[str, str]:
    """Content id → title, as far as anybody knows one."""
    if not ids:
        return {}
    return {id_: title for source in content_sources for id_, title in source(scope, ids).items()}
