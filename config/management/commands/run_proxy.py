"""`run_proxy`: the service under ASGI on this machine, with the proxy, for development and trials."""

import os
from typing import Any

import uvicorn
from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser
from django.utils.translation import gettext as _

from ai_clients.proxy.providers import PREFIX, PROVIDERS


class Command(BaseCommand):
    help = "Serves the proxy (and the pages) on this machine. In production, uvicorn serves them: docs/proxy.md."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="Address to listen on.")
        parser.add_argument("--port", type=int, default=8001, help="Port to listen on.")

    def handle(self, *_arguments: Any, **options: Any) -> None:
        # As `runserver` does, it serves with DEBUG; other servers refuse to.
        settings.ALLOW_DEBUG_SERVER = True
        os.environ["ALLOW_DEBUG_SERVER"] = "1"
        for name, provider in PROVIDERS.items():
            url = f"http://{options['host']}:{options['port']}{PREFIX}{name}"
            # Anthropic's clients add the version themselves.
            url += "" if name == "anthropic" else "/v1"
            self.stdout.write(_("%(provider)s: base URL %(url)s") % {"provider": provider.title, "url": url})
        uvicorn.run(
            "config.asgi:application",
            host=options["host"],
            port=options["port"],
            ws="none",
            server_header=False,
            date_header=False,
        )
