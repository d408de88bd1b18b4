"""`python -m usage_billing.mcp_server`: as `manage.py mcp`, where there is no Django project but `AI_COSTS_URL`."""

from __future__ import annotations

import os
import sys


def main() -> int:
    if not os.environ.get("AI_COSTS_URL", "").strip() and not os.environ.get("DJANGO_SETTINGS_MODULE"):
        return _failed("Set AI_COSTS_URL to the address of AI Costs, such as https://costs.example.com.")
    try:
        from usage_billing.mcp_server.api_client import ConfigurationError
        from usage_billing.mcp_server.server import serve
    except ModuleNotFoundError as error:
        return _failed(f'{error}. Install the extra: pip install "django-ai-costs[mcp]"')
    if not os.environ.get("AI_COSTS_URL", "").strip():
        import django

        django.setup()
    try:
        serve()
    except ConfigurationError as error:
        return _failed(str(error))
    return 0


def _failed(text: str) -> int:
    # Standard output is for the protocol.
    print(text, file=sys.stderr)  # noqa: T201
    return 1


if __name__ == "__main__":
    sys.exit(main())
