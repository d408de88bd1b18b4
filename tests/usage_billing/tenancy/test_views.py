"""The scope of a view: its user's, whichever server the request comes from."""

from __future__ import annotations

from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import AsyncRequestFactory, RequestFactory

from tests.support import factories
from usage_billing.admin.scoped import request_scope
from usage_billing.pages.navigation import _may_set_alerts
from usage_billing.tenancy.scope import Scope
from usage_billing.tenancy.views import scoped_view

pytestmark = pytest.mark.django_db
SERVERS = pytest.mark.parametrize("factory", [RequestFactory, AsyncRequestFactory], ids=["WSGI", "ASGI"])


def request_of(factory: Any, person: Any) -> HttpRequest:
    request: HttpRequest = factory().get("/")
    request.user = person
    return request


@SERVERS
def test_a_view_without_the_middleware_runs_in_its_users_scope(factory: Any) -> None:
    org = factories.organization()
    seen: list[Any] = []

    @scoped_view
    def view(request: HttpRequest) -> HttpResponse:
        seen.append(request_scope(request))
        return HttpResponse()

    view(request_of(factory, factories.owner(org)))
    (scope,) = seen
    assert isinstance(scope, Scope)
    assert scope.owned_org_ids == {org.pk}


@SERVERS
def test_the_admin_without_the_middleware_takes_its_users_scope(factory: Any) -> None:
    org = factories.organization()
    assert request_scope(request_of(factory, factories.owner(org))).owned_org_ids == {org.pk}


@SERVERS
def test_the_sidebar_of_a_page_without_a_scope_shows_alerts(factory: Any) -> None:
    assert _may_set_alerts(request_of(factory, factories.member(factories.organization())))
