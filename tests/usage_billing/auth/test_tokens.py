"""Sessions of the API: what ends them, and what that does to their tokens."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import jwt
import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection
from django.utils import timezone
from pytest_django import Settings
from rest_framework.test import APIClient

from tests.support import factories
from tests.support.configure import configure
from usage_billing.auth import tokens as auth_tokens
from usage_billing.auth.session_store import hashed
from usage_billing.models import Session

SUMMARY = "/api/billing/usage/tokens/summary"

pytestmark = pytest.mark.django_db


@pytest.fixture
def alice() -> User:
    return factories.owner(factories.organization(), "alice")


def post(address: str, **body: Any) -> Any:
    return APIClient().post(address, body, format="json")


def log_in() -> dict[str, str]:
    granted: dict[str, str] = post("/api/token", username="alice", password="secret").json()["data"]
    return granted


def refresh(token: str) -> Any:
    return post("/api/token/refresh", refresh=token)


def ask(access: str) -> Any:
    return APIClient().get(SUMMARY, headers={"authorization": f"Bearer {access}"})


def result(answer: Any) -> tuple[int, str]:
    body = answer.json()
    return answer.status_code, "" if body["success"] else body["error"]["code"]


def claims(token: str) -> dict[str, Any]:
    return jwt.decode(token, options={"verify_signature": False})


def resigned(token: str, key: str | None = None, **changed: Any) -> str:
    payload = {name: value for name, value in (claims(token) | changed).items() if value is not None}
    return jwt.encode(payload, key or auth_tokens.signing_key(), algorithm="HS256")


def test_a_refresh_token_is_spent_by_its_use(alice: User) -> None:
    first = log_in()
    second = refresh(first["refresh"]).json()["data"]
    assert set(second) == {"access", "refresh"}
    assert second["refresh"] != first["refresh"]
    assert result(ask(second["access"])) == (200, "")
    assert result(refresh(first["refresh"])) == (401, "token_not_valid")
    # One client that asked twice at once keeps its session.
    assert result(refresh(second["refresh"])) == (200, "")
    assert result(ask(first["access"])) == (200, "")


def test_a_spent_token_that_turns_up_later_ends_the_session(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    stolen = log_in()
    thiefs = refresh(stolen["refresh"]).json()["data"]
    other = log_in()
    monkeypatch.setattr(auth_tokens, "REPLAY_GRACE", timedelta(seconds=-1))
    assert result(refresh(stolen["refresh"])) == (401, "token_not_valid")
    assert result(refresh(thiefs["refresh"])) == (401, "token_not_valid")
    assert result(ask(thiefs["access"])) == (401, "token_revoked")
    assert result(ask(other["access"])) == (200, "")


def test_revoking_ends_all_tokens_of_the_session_at_once_and_of_no_other(alice: User) -> None:
    first, other = log_in(), log_in()
    second = refresh(first["refresh"]).json()["data"]
    assert result(ask(second["access"])) == (200, "")
    revoked = post("/api/token/revoke", refresh=second["refresh"])
    assert (revoked.status_code, revoked.json()) == (200, {"success": True, "data": {}})
    for tokens in (first, second):
        assert result(ask(tokens["access"])) == (401, "token_revoked")
        assert result(refresh(tokens["refresh"])) == (401, "token_not_valid")
    assert result(post("/api/token/revoke/", refresh=second["refresh"])) == (401, "token_not_valid")
    assert result(ask(other["access"])) == (200, "")
    assert result(refresh(other["refresh"])) == (200, "")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda alice: alice.set_password("another secret"), "password_changed"),
        (lambda alice: setattr(alice, "is_active", False), "user_inactive"),
    ],
)
def test_what_ends_a_users_tokens(alice: User, change: Callable[[User], None], code: str) -> None:
    tokens = log_in()
    change(alice)
    alice.save()
    assert result(ask(tokens["access"])) == (401, code)
    assert result(refresh(tokens["refresh"])) == (401, code)
    assert post("/api/token/revoke", refresh=tokens["refresh"]).status_code == 200


def test_tokens_of_a_deleted_user_are_refused(alice: User) -> None:
    tokens = log_in()
    User.objects.filter(pk=alice.pk).delete()
    assert result(ask(tokens["access"])) == (401, "token_revoked")
    assert result(refresh(tokens["refresh"])) == (401, "token_not_valid")
    assert result(post("/api/token/revoke", refresh=tokens["refresh"])) == (401, "token_not_valid")


def test_expired_tokens_are_refused(alice: User) -> None:
    tokens = log_in()
    past = int(timezone.now().timestamp()) - 1
    assert result(ask(resigned(tokens["access"]))) == (200, "")
    assert result(ask(resigned(tokens["access"], exp=past))) == (401, "token_not_valid")
    assert result(refresh(resigned(tokens["refresh"], exp=past))) == (401, "token_not_valid")


def test_lifetimes(alice: User) -> None:
    tokens = {kind: claims(token) for kind, token in log_in().items()}
    assert tokens["access"]["exp"] - tokens["access"]["iat"] == 15 * 60
    assert tokens["refresh"]["exp"] - tokens["refresh"]["iat"] == 7 * 24 * 3600


def test_forged_and_mistaken_tokens_are_refused(alice: User) -> None:
    tokens = log_in()
    access, refresh_token = tokens["access"], tokens["refresh"]
    header, _body, signature = access.split(".")
    roots = factories.api_session(factories.superadmin()).access
    body_of_another_session = resigned(access, sid=claims(roots)["sid"]).split(".")[1]
    unsigned = jwt.encode(claims(access), "", algorithm="none")
    for wrong in (
        resigned(access, "another key of thirty-two bytes or more"),
        resigned(access, exp=None),
        resigned(access, jti=None),
        resigned(access, sid=None),
        resigned(access, typ=None),
        access[:-1] + ("A" if access[-1] != "A" else "B"),
        ".".join([header, body_of_another_session, signature]),
        unsigned,
        refresh_token,
        "",
        "a b",
        "ü",
    ):
        assert ask(wrong).status_code == 401, wrong
    for wrong in (access, unsigned, "nonsense", "ü.ü.ü", resigned(refresh_token, sid=None)):
        assert result(refresh(wrong)) == (401, "token_not_valid"), wrong
        assert result(post("/api/token/revoke", refresh=wrong)) == (401, "token_not_valid"), wrong


@pytest.mark.parametrize("address", ["/api/token/refresh", "/api/token/revoke"])
@pytest.mark.parametrize("body", [{}, {"refresh": ""}, {"refresh": None}, {"refresh": {"a": 1}}, [], "text", None])
def test_a_body_without_a_token_is_400(address: str, body: Any) -> None:
    answer = APIClient().post(address, body, format="json")
    assert result(answer) == (400, "invalid")
    assert answer.json()["error"]["details"]


def test_an_older_token_than_the_last_spent_one_ends_the_session_at_once(alice: User) -> None:
    first = log_in()
    third = refresh(refresh(first["refresh"]).json()["data"]["refresh"]).json()["data"]
    assert result(refresh(first["refresh"])) == (401, "token_not_valid")
    assert result(ask(third["access"])) == (401, "token_revoked")


def test_no_token_is_stored(alice: User) -> None:
    kept = log_in()
    session = Session.objects.get()
    stored = f"{session.session_key} {session.session_data} {session.get_decoded()}"
    assert [text in stored for text in (kept["access"], kept["refresh"], claims(kept["refresh"])["sid"])] == [False] * 3


def test_clearing_removes_what_has_expired_and_opens_nothing(alice: User) -> None:
    gone, kept, expired = log_in(), log_in(), log_in()
    post("/api/token/revoke", refresh=gone["refresh"])
    past = timezone.now() - timedelta(seconds=1)
    Session.objects.filter(pk=hashed("api", claims(expired["refresh"])["sid"])).update(expire_date=past)
    call_command("clearsessions")
    assert [result(ask(one["access"])) for one in (gone, kept, expired)] == [
        (401, "token_revoked"),
        (200, ""),
        (401, "token_revoked"),
    ]
    assert Session.objects.count() == 1


def test_a_session_lasts_as_long_as_its_latest_refresh_token(alice: User) -> None:
    tokens = log_in()
    latest = refresh(resigned(tokens["refresh"])).json()["data"]["refresh"]
    assert Session.objects.get().expire_date.timestamp() == claims(latest)["exp"]


@pytest.mark.django_db(transaction=True)
def test_of_two_who_spend_a_token_at_once_one_is_refused(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both have read the session, and seen the token unspent."""
    token = log_in()["refresh"]
    both_have_read = threading.Barrier(2)
    issue = auth_tokens._issue

    def wait_and_issue(session_id: str) -> auth_tokens.Pair:
        both_have_read.wait(10)
        return issue(session_id)

    def spend(_number: int) -> tuple[int, str]:
        try:
            return result(refresh(token))
        finally:
            connection.close()

    monkeypatch.setattr(auth_tokens, "_issue", wait_and_issue)
    with ThreadPoolExecutor(2) as threads:
        assert sorted(threads.map(spend, range(2))) == [(200, ""), (401, "token_not_valid")]


def test_signing_key_is_the_secret_unless_there_is_one_of_its_own(settings: Settings) -> None:
    assert auth_tokens.signing_key() == settings.SECRET_KEY
    configure(settings, TOKEN_KEY="a key of its own")
    assert auth_tokens.signing_key() == "a key of its own"


def test_a_new_secret_key_ends_no_session_while_the_old_one_is_a_fallback(alice: User, settings: Settings) -> None:
    configure(settings, TOKEN_KEY="k" * 50)
    tokens = log_in()
    old, settings.SECRET_KEY = settings.SECRET_KEY, "another secret key"
    assert result(ask(tokens["access"]))[0] == 401
    settings.SECRET_KEY_FALLBACKS = [old]
    assert result(ask(tokens["access"])) == (200, "")
    assert result(refresh(tokens["refresh"])) == (200, "")
