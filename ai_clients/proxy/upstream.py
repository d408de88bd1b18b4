"""The connection to the providers: one HTTP client for the process, which records what is sent through it."""

from __future__ import annotations

from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpx2

from ai_clients.transport import record_calls
from usage_billing.conf import conf

CONNECT_S = 10.0
KEPT_CONNECTIONS = 200


def new_client() -> httpx2.AsyncClient:
    """Return a client that keeps no cookies and follows no redirects.

    It goes by the proxy that the environment names (`HTTPS_PROXY`), as the SDKs do. A read may take `PROXY_TIMEOUT_S`:
    longer than the clients wait themselves, so that they decide.
    """
    client = httpx2.AsyncClient(
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        follow_redirects=False,
        timeout=httpx2.Timeout(conf.PROXY_TIMEOUT_S, connect=CONNECT_S, pool=None),
        # As many streams as the clients hold open. A connection that is not used is closed as soon as the SDKs' are.
        limits=httpx2.Limits(max_connections=None, max_keepalive_connections=KEPT_CONNECTIONS, keepalive_expiry=5.0),
    )
    record_calls(client)
    return client
