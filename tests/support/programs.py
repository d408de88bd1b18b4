"""Service tokens for tests, and clients that send them."""

from __future__ import annotations

from typing import Any

from rest_framework.test import APIClient

from usage_billing.auth import service_tokens
from usage_billing.models import Organization, ServiceToken
from usage_billing.tenancy.scope import EVERYTHING


def token(
    org: Organization | None = None, *scopes: str, name: str = "gateway", **options: Any
) -> tuple[ServiceToken, str]:
    """Make a token, by default of all organisations and for everything. Returns its row and the token itself."""
    return service_tokens.create(
        scope=EVERYTHING, by="boss", name=name, org=org, scopes=scopes or ServiceToken.Scope.values, **options
    )


def client(text: str, language: str = "en") -> APIClient:
    """An API client that sends this token."""
    found = APIClient()
    found.credentials(HTTP_AUTHORIZATION=f"Bearer {text}", HTTP_ACCEPT_LANGUAGE=language)
    return found
