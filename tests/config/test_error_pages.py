"""The answers to unknown addresses and failing views."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import OperationalError
from django.test import Client

from usage_billing.api.views import SummaryView
from usage_billing.pages.shell import LogIn

pytestmark = pytest.mark.django_db
BROKEN = "Something went wrong on our side, and was written to the log. Try again in a moment."


@pytest.fixture
def client() -> Client:
    return Client(raise_request_exception=False, headers={"accept-language": "en"})


def away(*_args: object, **_kwargs: object) -> None:
    raise OperationalError("the database is away")


def test_an_unknown_page_answers_in_the_users_language(client: Client) -> None:
    answer = client.get("/no/such/page", headers={"accept-language": "ru"})
    assert answer.status_code == 404
    assert "Такой страницы нет." in answer.content.decode()


def test_the_error_page_needs_no_database(
    client: Client, monkeypatch: pytest.MonkeyPatch, django_assert_num_queries: Any
) -> None:
    monkeypatch.setattr(LogIn, "dispatch", away)
    with django_assert_num_queries(0):
        answer = client.get("/login/")
    assert answer.status_code == 500
    assert BROKEN in answer.content.decode()
    assert "the database is away" not in answer.content.decode()


def test_a_failing_api_view_answers_in_the_api_format(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SummaryView, "initial", away)
    answer = client.get("/api/billing/usage/tokens/summary")
    assert answer.status_code == 500
    assert answer.json() == {
        "success": False,
        "error": {"code": "server_error", "message": BROKEN, "details": {}},
    }
