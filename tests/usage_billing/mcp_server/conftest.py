"""A service token with the scope `read`."""

from __future__ import annotations

import pytest

from tests.support.factories import organization
from usage_billing.auth import service_tokens
from usage_billing.models import Organization
from usage_billing.tenancy.scope import EVERYTHING


@pytest.fixture
def org() -> Organization:
    return organization("North")


@pytest.fixture
def token(org: Organization) -> str:
    return made_token(org)


def made_token(org: Organization | None, *scopes: str) -> str:
    return service_tokens.create(scope=EVERYTHING, by="test", name="claude", org=org, scopes=scopes or ("read",))[1]
