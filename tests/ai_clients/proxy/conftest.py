"""One proxy before a scripted provider, for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support import factories
from tests.support.proxied import Proxied, database_of_tests, proxied, save_keys
from usage_billing.auth import provider_keys, service_tokens
from usage_billing.models import Organization


@pytest.fixture(scope="module")
def served(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxied]:
    with proxied(database_of_tests(), tmp_path_factory.mktemp("proxy"), PROXY_MAX_BODY_MB="1") as made:
        yield made


@pytest.fixture
def proxy(served: Proxied, transactional_db: None) -> Proxied:
    """The proxy with an empty outbox and keys of both providers."""
    provider_keys.forget()
    service_tokens.forget()
    save_keys()
    served.begin_anew()
    return served


@pytest.fixture
def org(proxy: Proxied) -> Organization:
    return factories.organization()
