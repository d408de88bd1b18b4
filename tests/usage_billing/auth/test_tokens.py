"""Sessions of the API: what ends them, and what that does to their tokens."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import jwt
import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection
from django.utils import timezone
from rest_framework.test import APIClient
from rest_framework_simplejwt.settings import api_settings
from rest_framework_simplejwt.token_blacklist.models import BlacklistedToken, OutstandingToken

from tests.support import factories
from usage_billing.auth.session_store import hashed
from usage_billing.auth.tokens import REPLAY_GRACE, SessionToken
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
    return jwt.encode(payload, key or str(api_settings.SIGNING_KEY), algorithm="HS256")


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


def test_a_spent_token_that_turns_up_later_ends_the_session(alice: User) -> None:
    stolen = log_in()
    thiefs = refresh(stolen["refresh"]).json()["data"]
    other = log_in()
    BlacklistedToken.objects.update(blacklisted_at=timezone.now() - REPLAY_GRACE - timedelta(seconds=1))
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
    assert result(ask(tokens["access"])) == (401, "user_not_found")
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
    root = factories.superadmin()
    unsigned = jwt.encode(claims(access), None, algorithm="none")
    for wrong in (
        resigned(access, "another key of thirty-two bytes or more"),
        resigned(access, exp=None),
        resigned(access, jti=None),
        resigned(access, user_id=None),
        access[:-1] + ("A" if access[-1] != "A" else "B"),
        ".".join([access.split(".")[0], resigned(access, user_id=str(root.pk)).split(".")[1], access.split(".")[2]]),
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


def test_no_token_is_stored(alice: User) -> None:
    tokens = log_in()
    second = refresh(tokens["refresh"]).json()["data"]
    post("/api/token/revoke", refresh=second["refresh"])
    rows = list(OutstandingToken.objects.values_list("jti", "token"))
    assert [token for _jti, token in rows] == ["", ""]
    kept = log_in()
    session = Session.objects.get()
    told = f"{session.session_key} {session.session_data}"
    assert [claims(kept["refresh"])[claim] in told for claim in ("sid", "jti")] == [False, False]


@pytest.mark.parametrize("command", ["clearsessions", "flushexpiredtokens"])
def test_clearing_removes_what_has_expired_and_opens_nothing(alice: User, command: str) -> None:
    gone, kept, expired = log_in(), log_in(), log_in()
    post("/api/token/revoke", refresh=gone["refresh"])
    past = timezone.now() - timedelta(seconds=1)
    OutstandingToken.objects.filter(jti=claims(expired["refresh"])["jti"]).update(expires_at=past)
    Session.objects.filter(pk=hashed("api", claims(expired["refresh"])["sid"])).update(expire_date=past)
    call_command(command)
    assert [result(ask(tokens["access"])) for tokens in (gone, kept)] == [(401, "token_revoked"), (200, "")]
    assert Session.objects.count() == (1 if command == "clearsessions" else 2)
    assert OutstandingToken.objects.count() == (3 if command == "clearsessions" else 2)


def test_a_session_lasts_as_long_as_its_latest_refresh_token(alice: User) -> None:
    tokens = log_in()
    latest = refresh(resigned(tokens["refresh"])).json()["data"]["refresh"]
    assert Session.objects.get().expire_date.timestamp() == claims(latest)["exp"]


@pytest.mark.django_db(transaction=True)
def test_of_two_who_spend_a_token_at_once_one_is_refused(alice: User) -> None:
    """Both have looked, and seen it unspent."""
    token = log_in()["refresh"]
    seen = [SessionToken(token), SessionToken(token)]  # type: ignore[arg-type]  # the library's annotation is wrong

    def spend(one: SessionToken) -> str:
        try:
            one.blacklist()
        except Exception as error:  # noqa: BLE001  # returned to the test
            return type(error).__name__
        finally:
            connection.close()
        return "spent"

    with ThreadPoolExecutor(2) as threads:
        assert sorted(threads.map(spend, seen)) == ["TokenError", "spent"]


def test_signing_key_is_the_secret_unless_there_is_one_of_its_own() -> None:
    assert settings.SIMPLE_JWT["SIGNING_KEY"] == settings.SECRET_KEY
