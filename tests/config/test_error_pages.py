"""The answers to unknown addresses and failing views."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.db import OperationalError
from django.test import Client, RequestFactory
from django.utils import translation
from django.utils.translation import gettext

from config import error_pages
from tests.support import factories
from usage_billing.api.views import SummaryView
from usage_billing.auth.session_middleware import SessionMiddleware
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


@pytest.mark.parametrize("language", ["en", "ru"])
def test_the_error_page_is_whole_where_no_session_can_be_read(
    client: Client, monkeypatch: pytest.MonkeyPatch, settings: Any, language: str
) -> None:
    client.force_login(factories.superadmin())
    monkeypatch.setattr(SessionMiddleware, "process_request", away)
    settings.TEMPLATES = [{**settings.TEMPLATES[0], "OPTIONS": {"context_processors": [f"{__name__}.away"]}}]
    with translation.override("en" if language == "ru" else "ru"):  # as the request before may have left it
        answer = client.get("/usage/", headers={"accept-language": language})
    assert answer.status_code == 500
    assert is_whole(answer.content.decode(), language, "Server error")


def is_whole(text: str, language: str, title: str) -> bool:
    """Whether a page has the style, the brand, its title and a way back, in this language."""
    with translation.override(language):
        parts = (
            f'<html lang="{language}">',
            "usage_billing/pages.css",
            '<a class="brand" href="/">',
            f"<h1>{gettext(title)}</h1>",
            f'<a class="button" href="/">{gettext("Back to the start page")}</a>',
        )
    return all(part in text for part in parts)


@pytest.mark.parametrize("language", ["en", "ru"])
def test_an_unreadable_request_is_told_so(client: Client, language: str) -> None:
    headers = {"accept-language": language}
    for answer in (
        client.get("/usage/", headers={**headers, "host": "elsewhere.example"}),
        client.post("/login/", {f"field{n}": "" for n in range(2000)}, headers=headers),
    ):
        assert answer.status_code == 400
        assert is_whole(answer.content.decode(), language, "Bad request")


@pytest.mark.parametrize("language", ["en", "ru"])
def test_a_form_without_its_token_is_to_be_loaded_again(language: str) -> None:
    client = Client(enforce_csrf_checks=True, headers={"accept-language": language})
    answer = client.post("/login/", {"username": "olga", "password": "secret"})
    assert answer.status_code == 403
    assert is_whole(answer.content.decode(), language, "The form has expired")


@pytest.mark.parametrize(("language", "title"), [("en", "No access"), ("ru", "Нет доступа")])
def test_staff_without_the_permission_stay_in_the_shell(client: Client, language: str, title: str) -> None:
    client.force_login(factories.user("stas", is_staff=True))
    answer = client.get("/superadmin/usage_billing/exchangerate/", headers={"accept-language": language})
    assert answer.status_code == 403
    text = answer.content.decode()
    assert f"<h1>{title}</h1>" in text
    assert ('<aside class="sidebar"' in text, ">stas</a>" in text) == (True, True)


@pytest.mark.parametrize(
    ("handler", "status", "code"),
    [
        (lambda request: error_pages.bad_request(request, Exception()), 400, "bad_request"),
        (lambda request: error_pages.csrf_failure(request, "no cookie"), 403, "csrf_failed"),
        (lambda request: error_pages.forbidden(request, Exception()), 403, "permission_denied"),
        (error_pages.server_error, 500, "server_error"),
    ],
)
def test_programs_get_each_error_in_the_api_format(rf: RequestFactory, handler: Any, status: int, code: str) -> None:
    answer = handler(rf.get("/api/billing/usage/tokens/summary"))
    told = json.loads(answer.content)
    assert (answer.status_code, told["success"], told["error"]["code"]) == (status, False, code)


def test_a_failing_api_view_answers_in_the_api_format(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SummaryView, "initial", away)
    answer = client.get("/api/billing/usage/tokens/summary")
    assert answer.status_code == 500
    assert answer.json() == {
        "success": False,
        "error": {"code": "server_error", "message": BROKEN, "details": {}},
    }
