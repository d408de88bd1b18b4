"""The person's own account: sessions, a new password, a forgotten one."""

from __future__ import annotations

import re
import threading
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core import mail
from django.test import Client
from pytest_django import Settings

from tests.support import factories
from tests.support.configure import configure
from usage_billing.models import Session
from usage_billing.pages import hooks

STRONG = "correct horse battery"
SUMMARY = "/api/billing/usage/tokens/summary"

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def public(settings: Settings) -> None:
    configure(settings, PUBLIC_URL="https://costs.example.com/ai")


@pytest.fixture(params=["superadmin", "owner", "member"])
def alice(request: pytest.FixtureRequest) -> User:
    return person(request.param)


def person(kind: str = "owner", name: str = "alice") -> User:
    made = (
        factories.superadmin(name) if kind == "superadmin" else getattr(factories, kind)(factories.organization(), name)
    )
    User.objects.filter(pk=made.pk).update(email=f"{name}@example.com")
    return User.objects.get(pk=made.pk)


def browser(name: str = "alice", agent: str = "Firefox", **options: Any) -> Client:
    client = Client(headers={"user-agent": agent, "accept-language": "en"}, **options)
    assert client.post("/login/", {"username": name, "password": "secret"}).status_code == 302
    return client


def program(name: str = "alice") -> dict[str, str]:
    client = Client(headers={"user-agent": "billing-bot/1.0"})
    answer = client.post("/api/token", {"username": name, "password": "secret"}, "application/json")
    tokens: dict[str, str] = answer.json()["data"]
    return tokens


def is_open(client: Client) -> bool:
    return bool(client.get("/account/").status_code == 200)


def opens(tokens: dict[str, str]) -> bool:
    return bool(Client().get(SUMMARY, headers={"authorization": f"Bearer {tokens['access']}"}).status_code == 200)


# ── Sessions ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_sessions_are_listed_and_this_one_is_marked(alice: User) -> None:
    here = browser(agent="<b>Firefox</b>")
    browser(agent="Safari", REMOTE_ADDR="192.0.2.7")
    program()
    factories.user("mallory")
    browser("mallory", agent="Lynx")
    page = here.get("/account/").content.decode()
    for told in ("&lt;b&gt;Firefox&lt;/b&gt;", "Safari", "192.0.2.7", "billing-bot/1.0", "API", "browser"):
        assert told in page
    assert "Lynx" not in page
    assert page.count("this session") == 1
    assert page.count('name="session"') == 2


def test_a_session_is_ended_by_its_owner_and_by_nobody_else(alice: User) -> None:
    here, there, tokens = browser(), browser(agent="Safari"), program()
    factories.user("mallory")
    mallory = browser("mallory")
    for row in Session.objects.filter(user=alice):
        mallory.post("/account/sessions/end/", {"session": row.pk})
    assert (is_open(here), is_open(there), opens(tokens)) == (True, True, True)
    here.post("/account/sessions/end/", {"session": Session.objects.get(user_agent="Safari").pk})
    assert (is_open(here), is_open(there), opens(tokens)) == (True, False, True)
    here.post("/account/sessions/end/", {"session": Session.objects.get(kind="api").pk})
    assert (is_open(here), opens(tokens), is_open(mallory)) == (True, False, True)
    refreshed = Client().post("/api/token/refresh", {"refresh": tokens["refresh"]}, "application/json")
    assert refreshed.status_code == 401


def test_all_others_are_ended_at_once(alice: User) -> None:
    here, there, tokens = browser(), browser(), program()
    mallory = browser(factories.user("mallory").username)
    here.post("/account/sessions/end/")
    assert (is_open(here), is_open(there), opens(tokens), is_open(mallory)) == (True, False, False, True)


def test_nobody_ends_anything_without_a_session_a_post_or_a_csrf_token(alice: User) -> None:
    here, strict = browser(), Client(enforce_csrf_checks=True)
    strict.cookies = here.cookies
    assert strict.post("/account/sessions/end/").status_code == 403
    assert here.get("/account/sessions/end/").status_code == 405
    assert Client().post("/account/sessions/end/").status_code == 302
    for key in ("nonsense", "\0", "x" * 5000):
        assert here.post("/account/sessions/end/", {"session": key}).status_code == 302
    assert Session.objects.filter(user=alice).count() == 1


# ── Changing a password ──────────────────────────────────────────────────────────────────────────────────────────


def change(client: Client, old: str = "secret", new: str = STRONG, again: str = STRONG) -> Any:
    return client.post("/account/password/", {"old_password": old, "new_password1": new, "new_password2": again})


def test_a_changed_password_ends_all_sessions_but_this_one(alice: User) -> None:
    here, there, tokens = browser(), browser(), program()
    assert change(here).status_code == 302
    assert (is_open(here), is_open(there), opens(tokens)) == (True, False, False)
    assert [row.pk for row in Session.objects.filter(user=alice)] == [row.pk for row in Session.objects.all()]
    assert Session.objects.filter(user=alice).count() == 1
    assert Client().login(username="alice", password=STRONG)


def test_a_password_changed_elsewhere_leaves_no_session_in_the_list(alice: User) -> None:
    browser()
    program()
    alice.set_password(STRONG)
    alice.save()
    client = Client(headers={"accept-language": "en"})
    client.post("/login/", {"username": "alice", "password": STRONG})
    assert client.get("/account/").content.decode().count("<tr") == 2


def test_a_weak_password_or_a_wrong_old_one_is_refused() -> None:
    person()
    here = browser()
    for given in ({"old": "wrong"}, {"new": "12345", "again": "12345"}, {"again": "another"}):
        answer = change(here, **given)
        assert (answer.status_code, b"alarm-text" in answer.content) == (200, True)
    assert Client().login(username="alice", password="secret")


def test_whoever_finds_an_open_browser_cannot_try_old_passwords(settings: Settings) -> None:
    person()
    here = browser()
    answers = [change(here, old="guess").status_code for _ in range(7)]
    assert answers == [200] * 5 + [429] * 2
    assert change(here)["Retry-After"]
    assert here.get("/account/").status_code == 200


def test_the_admin_leads_to_the_same_page() -> None:
    person("superadmin")
    answer = browser().get("/superadmin/password_change/")
    assert (answer.status_code, answer["Location"]) == (302, "/account/password/")


# ── A forgotten password ─────────────────────────────────────────────────────────────────────────────────────────


def forget(email: str, address: str = "192.0.2.1", **headers: str) -> Any:
    """Ask for a link, and wait until it is sent."""
    client = Client(headers={"accept-language": "en", **headers}, REMOTE_ADDR=address)
    answer = client.post("/account/password/reset/", {"email": email})
    for thread in threading.enumerate():
        if thread.name == "e-mail":
            thread.join(20)
    return answer


def link(message: Any) -> str:
    (found,) = re.findall(r"https?://\S+", message.body)
    return str(found)


def path(address: str) -> str:
    return address.removeprefix("https://costs.example.com/ai")


@pytest.mark.django_db(transaction=True)
def test_a_new_password_by_e_mail_ends_all_sessions_and_opens_one(alice: User, settings: Settings) -> None:
    there, tokens = browser(), program()
    forget("Alice@Example.com")
    (message,) = mail.outbox
    assert message.to == ["alice@example.com"]
    settings.AXES_ENABLED = True
    client = Client()
    form = client.get(path(link(message)), follow=True)
    where = form.redirect_chain[-1][0]
    assert link(message).rsplit("/", 2)[1] not in where
    done = client.post(where, {"new_password1": STRONG, "new_password2": STRONG})
    assert (done.status_code, done["Location"]) == (302, "/")
    assert (is_open(client), is_open(there), opens(tokens)) == (True, False, False)
    assert [name for name in client.cookies if name.startswith("device-")] != []
    again = Client().get(path(link(message)), follow=True)
    assert b"new_password1" not in again.content


@pytest.mark.django_db(transaction=True)
def test_a_link_leads_to_our_own_host_whatever_the_request_says(settings: Settings) -> None:
    settings.ALLOWED_HOSTS = ["*"]
    person()
    forget("alice@example.com", host="evil.example.net", **{"x-forwarded-host": "evil.example.net"})
    assert link(mail.outbox[0]).startswith("https://costs.example.com/ai/account/password/reset/")
    assert "evil" not in mail.outbox[0].body


@pytest.mark.django_db(transaction=True)
def test_nobody_learns_who_has_an_account() -> None:
    person()
    inactive = person(name="inactive")
    User.objects.filter(pk=inactive.pk).update(is_active=False)
    answers = [forget(f"{name}@example.com") for name in ("alice", "inactive", "nobody")]
    # The cookie is payload:moment:signature, and the moment changes with the second.
    told = {
        (answer.status_code, answer["Location"], answer.cookies["messages"].value.split(":")[0]) for answer in answers
    }
    assert len(told) == 1
    assert [message.to for message in mail.outbox] == [["alice@example.com"]]


@pytest.mark.django_db(transaction=True)
def test_nobody_is_flooded_with_e_mails() -> None:
    person()
    answers = [
        forget("ALICE@example.com" if number % 2 else "alice@example.com", f"192.0.2.{number}") for number in range(8)
    ]
    assert {answer.status_code for answer in answers} == {302}
    assert len(mail.outbox) == 3


def test_an_address_asks_for_so_many_links(settings: Settings) -> None:
    configure(settings, PASSWORD_RESETS_PER_ADDRESS=2)
    answers = [forget(f"{number}@example.com") for number in range(3)]
    assert [answer.status_code for answer in answers] == [302, 302, 429]
    assert int(answers[-1]["Retry-After"]) > 3500
    assert forget("3@example.com", "192.0.2.9").status_code == 302


@pytest.mark.django_db(transaction=True)
def test_a_link_is_good_for_three_hours(settings: Settings) -> None:
    assert settings.PASSWORD_RESET_TIMEOUT == 3 * 3600
    person()
    forget("alice@example.com")
    settings.PASSWORD_RESET_TIMEOUT = -1
    answer = Client(headers={"accept-language": "en"}).get(path(link(mail.outbox[0])), follow=True)
    assert "too old" in answer.content.decode()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("language", "words"), [("en", "Forgot your password?"), ("ru", "Забыли пароль?")])
def test_log_in_page_leads_there_in_both_languages(language: str, words: str, settings: Settings) -> None:
    client = Client(headers={"accept-language": language})
    assert words in client.get("/login/").content.decode()
    assert words in client.get("/account/password/reset/").content.decode()
    person()
    forget("alice@example.com", **{"accept-language": language})
    assert ("задать новый пароль" in mail.outbox[0].body) is (language == "ru")
    configure(settings, PUBLIC_URL="")
    assert words not in client.get("/login/").content.decode()
    assert client.get("/account/password/reset/").status_code == 404


# ── The e-mail address ───────────────────────────────────────────────────────────────────────────────────────────


def sent() -> list[str]:
    """The addresses of the e-mails, once their threads have ended."""
    for thread in threading.enumerate():
        if thread.name == "e-mail":
            thread.join()
    return [message.to[0] for message in mail.outbox]


def test_address_is_changed_with_the_password_and_the_old_one_is_told(alice: User) -> None:
    client = browser()
    assert 'value="alice@example.com"' in client.get("/account/email/").content.decode()
    wrong = client.post("/account/email/", {"email": "new@example.com", "old_password": "guess"})
    assert "This is not your password." in wrong.content.decode()
    assert User.objects.get(pk=alice.pk).email == "alice@example.com"
    done = client.post("/account/email/", {"email": "new@example.com", "old_password": "secret"}, follow=True)
    assert "new@example.com" in done.content.decode()
    assert User.objects.get(pk=alice.pk).email == "new@example.com"
    assert sent() == ["alice@example.com"]


def test_password_cannot_be_guessed_where_the_address_is_changed(alice: User, settings: Settings) -> None:
    client = browser()
    for _ in range(settings.AXES_FAILURE_LIMIT):
        assert client.post("/account/email/", {"email": "x@example.com", "old_password": "guess"}).status_code == 200
    last = client.post("/account/email/", {"email": "x@example.com", "old_password": "secret"})
    assert last.status_code == 429
    assert User.objects.get(pk=alice.pk).email == "alice@example.com"


def test_choice_of_another_app_is_saved(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen: dict[int, bool] = {}

    def choices(user: User) -> list[hooks.AccountChoice]:
        return [
            hooks.AccountChoice(
                name="digest",
                label="Weekly digest",
                help_text="",
                is_chosen=chosen.get(user.pk, False),
                write=lambda is_wanted: chosen.__setitem__(user.pk, is_wanted),
            )
        ]

    monkeypatch.setattr(hooks, "account_choices", [choices])
    client = browser()
    assert 'name="digest">' in client.get("/account/").content.decode()
    client.post("/account/choices/", {"digest": "on"})
    assert 'name="digest" checked>' in client.get("/account/").content.decode()
    client.post("/account/choices/", {})
    assert chosen == {alice.pk: False}
