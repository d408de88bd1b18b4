"""Logging in to the API: JWT, or the session of the pages."""

import pytest
from rest_framework.test import APIClient

from tests.support import factories

SUMMARY = "/api/billing/usage/tokens/summary"

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("slash", ["", "/"])
def test_token_opens_the_api_and_can_be_refreshed(slash: str) -> None:
    factories.owner(factories.organization(), "alice")
    client = APIClient()
    answer = client.post(f"/api/token{slash}", {"username": "alice", "password": "secret"}, format="json")
    granted = answer.json()
    assert granted["success"] is True
    assert set(granted["data"]) == {"access", "refresh"}
    assert "no-store" in answer["Cache-Control"]

    client.credentials(HTTP_AUTHORIZATION=f"Bearer {granted['data']['access']}")
    assert client.get(f"{SUMMARY}{slash}").json()["success"] is True

    client.credentials()
    renewed = client.post(f"/api/token/refresh{slash}", {"refresh": granted["data"]["refresh"]}, format="json").json()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {renewed['data']['access']}")
    assert client.get(SUMMARY).json()["success"] is True


@pytest.mark.parametrize(
    ("credentials", "status", "code"),
    [
        ({"username": "alice", "password": "wrong"}, 401, "no_active_account"),
        ({"username": "nobody", "password": "secret"}, 401, "no_active_account"),
        ({"username": "alice"}, 400, "invalid"),
        ({"username": "a" * 151, "password": "secret"}, 400, "invalid"),
        ({"username": ["alice"], "password": {"a": 1}}, 400, "invalid"),
    ],
)
def test_token_is_refused_with_a_reason(credentials: dict[str, object], status: int, code: str) -> None:
    factories.user("alice")
    answer = APIClient().post("/api/token", credentials, format="json")
    assert (answer.status_code, answer.json()["success"], answer.json()["error"]["code"]) == (status, False, code)


@pytest.mark.parametrize("header", [None, "Bearer nonsense", "Basic YWxpY2U6c2VjcmV0"])
def test_summary_without_a_token_is_401(header: str | None) -> None:
    client = APIClient()
    if header:
        client.credentials(HTTP_AUTHORIZATION=header)
    answer = client.get(SUMMARY)
    assert (answer.status_code, answer.json()["success"]) == (401, False)
    assert answer["WWW-Authenticate"] == 'Bearer realm="api"'


def test_a_deactivated_user_loses_access_with_a_token_issued_before() -> None:
    alice = factories.owner(factories.organization(), "alice")
    client = APIClient()
    granted = client.post("/api/token", {"username": "alice", "password": "secret"}, format="json").json()["data"]
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {granted['access']}")
    assert client.get(SUMMARY).status_code == 200
    alice.is_active = False
    alice.save()
    assert client.get(SUMMARY).status_code == 401


def test_the_session_of_the_pages_works_too() -> None:
    alice = factories.owner(factories.organization(), "alice")
    client = APIClient()
    client.force_login(alice)
    assert client.get(SUMMARY).json()["success"] is True


def test_a_session_changes_nothing_without_the_pages_own_token() -> None:
    """Reading is free of it; a foreign page could only make the browser write."""
    client = APIClient(enforce_csrf_checks=True)
    client.force_login(factories.user())
    assert client.get(SUMMARY).status_code == 200
    answer = client.post(SUMMARY)
    assert (answer.status_code, answer.json()["success"], answer.json()["error"]["code"]) == (
        403,
        False,
        "permission_denied",
    )
    client.get("/usage/")
    secret = client.cookies["csrftoken"].value
    assert client.post(SUMMARY, headers={"x-csrftoken": secret}).status_code == 405


def test_a_space_is_a_part_of_a_password() -> None:
    alice = factories.user("alice")
    alice.set_password(" secret ")
    alice.save()
    client = APIClient()
    for password, status in ((" secret ", 200), ("secret", 401)):
        answer = client.post("/api/token", {"username": "alice", "password": password}, format="json")
        assert answer.status_code == status


def test_log_in_notes_its_time() -> None:
    alice = factories.user("alice")
    assert alice.last_login is None
    APIClient().post("/api/token", {"username": "alice", "password": "secret"}, format="json")
    alice.refresh_from_db()
    assert alice.last_login is not None
