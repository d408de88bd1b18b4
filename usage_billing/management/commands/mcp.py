"""`manage.py mcp`: serves the read API to coding assistants, by the Model Context Protocol."""

from typing import Any

from django.core.management.base import CommandError

from usage_billing.management.printable_command import PrintableCommand


class Command(PrintableCommand):
    help = (
        "Serve what AI calls cost to a coding assistant by the Model Context Protocol, on standard input and output. "
        "AI_COSTS_TOKEN is a service token with the scope `read`; AI_COSTS_URL is the service to ask, without it this "
        "project itself."
    )
    # With AI_COSTS_URL neither the database nor the rest of the project is needed.
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            # Here, because the SDK is in an extra that most projects do not install.
            from usage_billing.mcp_server.api_client import ConfigurationError
            from usage_billing.mcp_server.server import serve
        except ModuleNotFoundError as error:
            raise CommandError(f'{error}. Install the extra: pip install "django-ai-costs[mcp]"') from error
        try:
            serve()
        except ConfigurationError as error:
            raise CommandError(str(error)) from error
