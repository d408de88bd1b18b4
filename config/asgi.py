"""The ASGI application: the proxy below `/proxy/`, Django for all else."""

import os
from typing import Any

from django.core.asgi import get_asgi_application

from config.serving import refuse_debug, require_secret_key, require_sound_settings

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

_django = get_asgi_application()
refuse_debug()
require_secret_key()
require_sound_settings()

# Models can be imported from here on.
from ai_clients.proxy.app import Proxy  # noqa: E402
from ai_clients.proxy.providers import PREFIX  # noqa: E402

_proxy = Proxy()


async def application(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        await _live(receive, send)
    elif scope["path"].startswith(PREFIX):
        await _proxy(scope, receive, send)
    else:
        await _django(scope, receive, send)


async def _live(receive: Any, send: Any) -> None:
    """Take part in the server's start and end."""
    while True:
        kind = (await receive())["type"]
        if kind == "lifespan.shutdown":
            await _proxy.aclose()
        await send({"type": f"{kind}.complete"})
        if kind == "lifespan.shutdown":
            return
