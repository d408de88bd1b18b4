"""The providers behind the proxy: their addresses, and how each takes its key."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from ai_clients.connection import SIMULATOR
from usage_billing.conf import DEFAULTS, conf

PREFIX = "/proxy/"


@dataclass(frozen=True)
class Provider:
    """`name`: in the proxy's addresses, in `PROXY_URLS` and among the provider keys."""

    name: str
    title: str

    def key_header(self, secret: str) -> tuple[bytes, bytes]:
        """The header by which the provider takes its key."""
        if self.name == "anthropic":
            return b"x-api-key", secret.encode("latin-1")
        return b"authorization", b"Bearer " + secret.encode("latin-1")


PROVIDERS: Mapping[str, Provider] = {
    "openai": Provider("openai", "OpenAI"),
    "anthropic": Provider("anthropic", "Anthropic"),
}


@dataclass(frozen=True)
class Destination:
    """Where a request goes: the address without a slash at its end, and the key that it takes with it.

    is_shared: whether an organisation's call goes with the key of all organisations.
    """

    url: str
    secret: str
    is_shared: bool = False


def destination_of(provider: Provider, secret: str | None) -> Destination | None:
    """Return where to send a request with this key. None: there is no key, and no simulator in its place.

    It may start the simulator, which takes a while.
    """
    own = DEFAULTS["PROXY_URLS"][provider.name]
    url = conf.PROXY_URLS.get(provider.name, own).rstrip("/")
    if secret is not None:
        return Destination(url, secret)
    if not conf.SIMULATOR:
        return None
    return Destination(_simulator(provider) if url == own else url, SIMULATOR)


def _simulator(provider: Provider) -> str:
    """The simulator of this process, or the one that the environment names, as for the clients (`connection`)."""
    given = os.environ.get(f"{provider.name.upper()}_BASE_URL", "")
    if given:
        return given.rstrip("/").removesuffix("/v1")
    # Imported here: it is for development and tests, and not in the wheel.
    from ai_clients.simulator.server import ensure_running

    simulator = ensure_running()
    urls = {"openai": simulator.openai_base_url, "anthropic": simulator.anthropic_base_url}
    return urls[provider.name].removesuffix("/v1")
