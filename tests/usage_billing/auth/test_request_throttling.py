"""The API takes so many requests from a user, and from an address that has not said who it is."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from django.core.cache import cache
from pytest_django import Settings
from rest_framework.test import APIClient

from tests.support import factories
from tests.support.configure import configure
from usage_billing.auth.request_throttling import Rate

SUMMARY = "/api/billing/usage/tokens/summary"

pytestmark = pytest.mark.django_db


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def clock(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Clock:
    configure(settings, API_RATE_USER="3/min", API_RATE_ANONYMOUS="2/min")
    clock = Clock()
    monkeypatch.setattr(Rate, "timer", clock)
    return clock


def as_user(name: str = "") -> APIClient:
    client = APIClient()
    client.force_login(factories.user(name))
    return client


def statuses(client: APIClient, times: int, url: str = SUMMARY, **extra: Any) -> list[int]:
    return [client.get(url, **extra).status_code for _ in range(times)]


def test_a_user_over_the_rate_is_told_when_to_come_back(clock: Clock) -> None:
    client = as_user()
    assert statuses(client, 2) == [200, 200]
    clock.now += 20
    assert statuses(client, 1) == [200]
    answer = client.get(SUMMARY)
    assert (answer.status_code, answer["Retry-After"]) == (429, "40")
    error = answer.json()["error"]
    assert (answer.json()["success"], error["code"], error["details"]) == (False, "throttled", {"retry_after_s": 40})
    assert error["message"]
    clock.now += 40
    assert statuses(client, 3) == [200, 200, 429]


def test_users_are_counted_each_by_themselves_and_over_all_their_addresses() -> None:
    alice, bob = as_user("alice"), as_user("bob")
    assert statuses(alice, 2, REMOTE_ADDR="192.0.2.1") == [200, 200]
    assert statuses(alice, 2, REMOTE_ADDR="192.0.2.2") == [200, 429]
    assert statuses(bob, 3, REMOTE_ADDR="192.0.2.2") == [200, 200, 200]


@pytest.mark.parametrize("header", [None, "Bearer nonsense", "Bearer"])
def test_refused_requests_are_counted_by_address(header: str | None) -> None:
    client = APIClient()
    if header:
        client.credentials(HTTP_AUTHORIZATION=header)
    assert statuses(client, 3, REMOTE_ADDR="192.0.2.1") == [401, 401, 429]
    answer = client.get(SUMMARY, REMOTE_ADDR="192.0.2.1")
    assert (answer["Retry-After"], answer.json()["error"]["details"]) == ("60", {"retry_after_s": 60})
    assert statuses(client, 1, REMOTE_ADDR="192.0.2.2") == [401]
    assert client.get(SUMMARY, REMOTE_ADDR="192.0.2.2")["WWW-Authenticate"] == 'Bearer realm="api"'


def test_a_header_that_nobody_vouches_for_makes_no_other_client() -> None:
    client = APIClient()
    forwarded = [client.get(SUMMARY, HTTP_X_FORWARDED_FOR=f"192.0.2.{number}").status_code for number in range(3)]
    assert forwarded == [401, 401, 429]


def test_behind_a_proxy_each_client_is_one(settings: Settings) -> None:
    configure(settings, TRUSTED_PROXIES=1)
    client = APIClient()
    for number in range(3):
        assert statuses(client, 1, HTTP_X_FORWARDED_FOR=f"192.0.2.{number}") == [401]


def test_failed_log_in_counts_once() -> None:
    client = APIClient()
    answers = [
        client.post("/api/token", {"username": "nobody", "password": "wrong"}, format="json").status_code
        for _ in range(3)
    ]
    assert answers == [401, 401, 429]


def test_users_do_not_use_up_what_the_anonymous_of_their_address_have() -> None:
    assert statuses(as_user(), 4) == [200, 200, 200, 429]
    assert statuses(APIClient(), 2) == [401, 401]


def test_no_rate_is_no_limit(settings: Settings) -> None:
    configure(settings, API_RATE_USER=None, API_RATE_ANONYMOUS=None)
    assert statuses(as_user(), 5) == [200] * 5
    assert statuses(APIClient(), 5) == [401] * 5


def test_a_cache_that_is_away_holds_nobody_back(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def away(*_args: Any, **_kwargs: Any) -> Any:
        raise ConnectionError("connection refused")

    client = as_user()
    monkeypatch.setattr(cache, "get", away)
    with caplog.at_level(logging.WARNING, "usage_billing"):
        assert statuses(client, 4) == [200] * 4
    assert "connection refused" in caplog.text
