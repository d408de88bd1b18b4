"""Guessers of passwords have to wait; the account's owner does not."""

from __future__ import annotations

import contextlib
import json
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from axes.models import AccessAttempt
from django.conf import settings as django_settings
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connections
from django.test import AsyncClient, Client
from pytest_django import Settings

from tests.support import factories
from tests.support.configure import configure
from usage_billing.models import Session, ThrottleCount

HERE, ELSEWHERE = "192.0.2.1", "192.0.2.2"
PAGES = ["/login/"]
LOGIN_ADDRESSES = [*PAGES, "/api/token"]

pytestmark = pytest.mark.django_db


class Clock:
    """The time for Django and axes."""

    def __init__(self) -> None:
        self.moment = datetime(2026, 11, 22, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.moment

    def forward(self, **by: int) -> None:
        self.moment += timedelta(**by)


@pytest.fixture(autouse=True)
def clock(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Clock:
    settings.AXES_ENABLED = True
    factories.superadmin("alice")
    clock = Clock()
    monkeypatch.setattr("django.utils.timezone.now", clock)
    monkeypatch.setattr("axes.handlers.proxy.now", clock)
    return clock


def log_in(
    login_address: str,
    name: str = "alice",
    password: str = "wrong",
    address: str = HERE,
    browser: str = "",
    **headers: str,
) -> Any:
    """Return the answer to a new browser, or to a program."""
    form = {"username": name, "password": password}
    client = Client(headers={"user-agent": browser, "accept-language": "en", **headers}, REMOTE_ADDR=address)
    if login_address.startswith("/api/"):
        return client.post(login_address, json.dumps(form), content_type="application/json")
    return client.post(login_address, form)


def is_in(answer: Any) -> bool:
    return bool(answer.status_code == 302 or (answer.status_code == 200 and b'"access"' in answer.content))


def fail(login_address: str, times: int, **who: str) -> Any:
    for _ in range(times):
        answer = log_in(login_address, **who)
    return answer


@pytest.mark.parametrize("login_address", LOGIN_ADDRESSES)
def test_right_password_opens_until_too_many_wrong_ones_and_again_after_the_wait(
    login_address: str, clock: Clock
) -> None:
    assert fail(login_address, 4).status_code in (200, 401)
    fifth = log_in(login_address)
    assert (fifth.status_code, fifth["Retry-After"]) == (429, "600")
    clock.forward(seconds=599)
    locked = log_in(login_address, password="secret")
    assert (locked.status_code, locked["Retry-After"]) == (429, "1")
    assert not is_in(locked)
    clock.forward(seconds=1, microseconds=1)
    assert is_in(log_in(login_address, password="secret"))


@pytest.mark.parametrize("login_address", LOGIN_ADDRESSES)
def test_login_addresses_count_together(login_address: str) -> None:
    for other in (LOGIN_ADDRESSES * 3)[:5]:
        log_in(other)
    assert log_in(login_address, password="secret").status_code == 429


def test_a_stranger_elsewhere_locks_nobody_out() -> None:
    assert fail("/login/", 6, address=ELSEWHERE).status_code == 429
    assert is_in(log_in("/login/", password="secret", address=HERE))


def test_another_person_at_the_same_address_is_let_in() -> None:
    factories.user("bob")
    assert fail("/login/", 6).status_code == 429
    assert is_in(log_in("/login/", "bob", "secret"))


def test_a_change_of_browser_or_of_header_does_not_help() -> None:
    for number in range(5):
        answer = log_in("/login/", browser=f"browser {number}", **{"x-forwarded-for": f"203.0.113.{number}"})
    assert answer.status_code == 429


def test_many_names_from_one_address_are_limited_too() -> None:
    for number in range(49):
        assert log_in("/api/token", f"name {number}").status_code == 401
    assert is_in(log_in("/api/token", password="secret"))
    assert log_in("/api/token", "one more").status_code == 429
    assert log_in("/login/", password="secret").status_code == 429
    assert is_in(log_in("/login/", password="secret", address=ELSEWHERE))


def test_an_own_account_clears_the_failures_of_no_other_name() -> None:
    factories.user("mallory")
    for _ in range(4):
        log_in("/login/")
        assert is_in(log_in("/login/", "mallory", "secret"))
        assert is_in(log_in("/api/token", "mallory", "secret"))
    assert log_in("/login/").status_code == 429


@pytest.mark.parametrize("login_address", LOGIN_ADDRESSES)
def test_success_forgets_the_failures_before_it(login_address: str) -> None:
    for _ in range(3):
        assert fail(login_address, 4).status_code != 429
        assert is_in(log_in(login_address, password="secret"))
    assert {len(count.moments) for count in ThrottleCount.objects.all()} == {0}


def test_trying_on_while_locked_out_does_not_make_the_wait_longer(clock: Clock) -> None:
    fail("/login/", 5)
    clock.forward(minutes=4)
    assert fail("/login/", 3)["Retry-After"] == "360"


def test_wait_ends_when_so_many_failures_have_cooled_off_that_one_more_is_allowed(clock: Clock) -> None:
    for browser in ("one", "another"):
        fail("/login/", 2, browser=browser)
        clock.forward(minutes=4)
    # Five failures; when the two oldest have cooled off, in two minutes, three are left.
    assert log_in("/login/")["Retry-After"] == "120"
    clock.forward(minutes=2, microseconds=1)
    assert is_in(log_in("/login/", password="secret"))


def test_longer_of_two_waits_is_told(clock: Clock) -> None:
    for number in range(45):
        log_in("/api/token", f"name {number}")
    clock.forward(minutes=4)
    # Fifty now from the address, which has to wait for the oldest of them; this name for its own five.
    assert fail("/login/", 5)["Retry-After"] == "600"
    assert log_in("/login/", "bob")["Retry-After"] == "360"


@pytest.mark.parametrize("login_address", PAGES)
@pytest.mark.parametrize(
    ("language", "words"), [("en", ["Too many failed attempts", "Try again in 10 minutes."]), ("ru", ['lang="ru"'])]
)
def test_page_says_when_to_try_again(login_address: str, language: str, words: list[str]) -> None:
    answer = fail(login_address, 5, **{"accept-language": language})
    assert (answer.status_code, answer["Content-Type"]) == (429, "text/html; charset=utf-8")
    assert "no-store" in answer["Cache-Control"]
    page = answer.content.decode()
    assert [word for word in words if word not in page] == []
    assert f'href="{login_address}"' in page
    assert "wrong" not in page.replace("wrong name or password", "")


def test_api_answers_in_its_envelope() -> None:
    answer = fail("/api/token", 5)
    error = answer.json()["error"]
    assert (answer.json()["success"], error["code"]) == (False, "login_locked")
    assert error["details"] == {"retry_after_s": int(answer["Retry-After"])}


def test_unknown_names_are_locked_like_known_ones() -> None:
    for login_address in LOGIN_ADDRESSES:
        known, unknown = fail(login_address, 5), fail(login_address, 5, name=f"nobody at {login_address}")
        assert (known.status_code, unknown.status_code) == (429, 429)


def test_no_password_is_kept_or_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    for login_address in LOGIN_ADDRESSES:
        Client().post(
            f"{login_address}?password=hunter2", {"username": "alice", "passwd": "hunter2", "password": "hunter2"}
        )
        log_in(login_address, password="hunter2")
        log_in(login_address, name="hunter3", password="hunter2")
    kept = str([list(model.objects.values()) for model in (ThrottleCount, AccessAttempt)])
    assert "login-address:127.0.0.1" in kept
    assert "hunter" not in kept
    logged = "\n".join(record.getMessage() for record in caplog.records if record.name != "django.db.backends")
    assert "A log-in from 192.0.2.1 failed" in logged
    assert "hunter" not in logged


def test_a_name_of_any_length_or_script_is_refused_in_order() -> None:
    for name in ("a" * 151, "a" * 100_000, "\x00", "\ud800", "", "а́лиса", "' OR 1=1 --"):
        assert log_in("/api/token", name).status_code in (400, 401)
    for name in ("a" * 151, "\x00", "", "а́лиса", "' OR 1=1 --"):
        assert log_in("/login/", name).status_code == 200


def test_a_unix_socket_without_an_address_is_limited_too() -> None:
    assert fail("/login/", 5, address="").status_code == 429


def test_clients_of_tests_and_commands_log_in_without_a_request(settings: Settings) -> None:
    alice = User.objects.get(username="alice")
    client = Client()
    client.force_login(alice)
    assert client.get("/superadmin/").status_code == 200
    settings.AXES_ENABLED = False
    assert Client().login(username="alice", password="secret")


def test_axes_has_no_pages_in_the_admin() -> None:
    client = Client()
    client.force_login(User.objects.get(username="alice"))
    assert client.get("/superadmin/axes/accessattempt/").status_code == 404
    assert "axes" in django_settings.INSTALLED_APPS


def test_asgi_server_answers_alike() -> None:
    async def fail_async() -> Any:
        client, english = AsyncClient(), {"accept-language": "en"}
        return [
            await client.post("/login/", {"username": "alice", "password": "wrong"}, headers=english) for _ in range(5)
        ][-1]

    answer = async_to_sync(fail_async)()
    assert (answer.status_code, answer["Retry-After"]) == (429, "600")
    assert "Try again in 10 minutes." in answer.content.decode()


# ── Many at once ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("login_address", LOGIN_ADDRESSES)
def test_of_many_guesses_at_once_no_more_than_the_limit_are_looked_at(
    login_address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_at: list[str] = []
    check = ModelBackend.authenticate

    def authenticate(self: ModelBackend, request: Any, username: Any = None, password: Any = None, **more: Any) -> Any:
        looked_at.append(password)
        return check(self, request, username, password, **more)

    monkeypatch.setattr(ModelBackend, "authenticate", authenticate)

    def guess(number: int) -> int:
        try:
            return int(log_in(login_address, password=f"guess {number}").status_code)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(15) as threads:
        answers = sorted(threads.map(guess, range(15)))
    assert len(looked_at) == 5
    assert answers[4:] == [429] * 11
    assert log_in(login_address, password="secret").status_code == 429


@pytest.mark.django_db(transaction=True)
def test_people_with_the_right_password_do_not_hold_each_other_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that starts ten workers, each of which logs in."""
    together, check = threading.Barrier(5), ModelBackend.authenticate

    def authenticate(self: ModelBackend, *arguments: Any, **more: Any) -> Any:
        with contextlib.suppress(threading.BrokenBarrierError):
            together.wait(5)  # as many as the limit are under way at once
        return check(self, *arguments, **more)

    monkeypatch.setattr(ModelBackend, "authenticate", authenticate)

    def enter(_number: int) -> int:
        try:
            return int(log_in("/api/token", password="secret").status_code)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(10) as threads:
        assert list(threads.map(enter, range(10))) == [200] * 10


# ── From many addresses ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def few(settings: Settings) -> None:
    """Six failures of an account in a day, over all addresses."""
    configure(settings, LOGIN_FAILURES_PER_ACCOUNT=6)


def guess_from_everywhere(name: str = "alice", times: int = 6) -> Any:
    """One guess from each address."""
    for number in range(times):
        answer = log_in(LOGIN_ADDRESSES[number % len(LOGIN_ADDRESSES)], name, address=f"203.0.113.{number}")
    return answer


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("login_address", LOGIN_ADDRESSES)
def test_guesses_from_many_addresses_are_slowed(login_address: str, clock: Clock) -> None:
    answer = guess_from_everywhere()
    assert (answer.status_code, answer["Retry-After"]) == (429, "86400")
    assert log_in(login_address, password="secret", address=ELSEWHERE).status_code == 429
    assert log_in(login_address, name="nobody", address=ELSEWHERE).status_code in (200, 401)
    clock.forward(days=1, microseconds=1)
    assert is_in(log_in(login_address, password="secret", address=ELSEWHERE))


@pytest.mark.usefixtures("few")
def test_guesses_lock_no_owner_out_of_a_browser_that_is_known(clock: Clock) -> None:
    browser = Client(headers={"accept-language": "en"}, REMOTE_ADDR=HERE)
    assert is_in(browser.post("/login/", {"username": "alice", "password": "secret"}))
    browser.post("/logout/")
    guess_from_everywhere()
    clock.forward(days=300)
    guess_from_everywhere()
    assert log_in("/login/", password="secret", address=ELSEWHERE).status_code == 429
    # On its way, the browser has another address every time.
    for address in (ELSEWHERE, "198.51.100.1"):
        assert is_in(browser.post("/login/", {"username": "alice", "password": "secret"}, REMOTE_ADDR=address))
        browser.post("/logout/")
    # Its cookie is the person's, not another's.
    guess_from_everywhere("bob")
    assert browser.post("/login/", {"username": "bob", "password": "x"}, REMOTE_ADDR=ELSEWHERE).status_code == 429


@pytest.mark.usefixtures("few")
def test_guesses_lock_no_program_out_of_an_address_that_it_has_a_session_at() -> None:
    assert is_in(log_in("/api/token", password="secret"))
    assert Session.objects.get().address == HERE
    guess_from_everywhere()
    assert log_in("/api/token", password="secret", address=ELSEWHERE).status_code == 429
    assert is_in(log_in("/api/token", password="secret"))


@pytest.mark.usefixtures("few")
def test_a_stolen_or_forged_device_cookie_buys_no_more_guesses() -> None:
    browser = Client(REMOTE_ADDR=HERE)
    browser.post("/login/", {"username": "alice", "password": "secret"})
    (name,) = [name for name in browser.cookies if name.startswith("device-")]
    stolen = browser.cookies[name].value
    assert (browser.cookies[name]["httponly"], browser.cookies[name]["samesite"]) == (True, "Lax")
    assert "alice" not in name + stolen
    for cookie in (stolen, stolen[:-1] + "A", "forged"):
        thief = Client()
        thief.cookies[name] = cookie
        form = {"username": "alice", "password": "wrong"}
        answers = [
            thief.post("/login/", form, REMOTE_ADDR=f"203.0.113.{number}").status_code for number in range(100, 107)
        ]
        assert answers[-1] == 429


@pytest.mark.parametrize(
    ("command", "then"),
    [(("axes_reset_username", "alice"), True), (("axes_reset_ip", HERE), True), (("axes_reset",), True),
     (("axes_reset_username", "bob"), False), (("axes_reset_ip", ELSEWHERE), False)],
)  # fmt: skip
def test_commands_let_in_at_once(command: tuple[str, ...], then: bool, capsys: pytest.CaptureFixture[str]) -> None:
    fail("/login/", 5)
    call_command(*command)
    assert is_in(log_in("/login/", password="secret")) is then
