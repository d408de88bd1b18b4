"""The shell: who gets in where, the sidebar, the log-in, and the languages."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from tests.support.page_text import read
from tests.support.rows import NOON, enter, row
from usage_billing.models import Organization
from usage_billing.pages import recorder_state
from usage_billing.recording.outbox import Backlog
from usage_billing.recording.recorder import Health

SUPERADMIN, OWN = "/superadmin/ai-costs", "/usage/"
BELOW = ("", "/explore", "/calls", "/insights")

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("at_noon")]


def sidebar(client: Client, address: str) -> dict[str, str]:
    """The links of the sidebar: text → address."""
    (text,) = re.findall(r"<aside.*?</aside>", client.get(address).content.decode(), re.DOTALL)
    return {name.strip(): link for link, name in re.findall(r'<a href="([^"]*)"[^>]*>([^<]+)</a>', text)}


@pytest.mark.usefixtures("two_tenants")
@pytest.mark.parametrize("below", BELOW)
def test_superadmin_pages_refuse_others_and_name_theirs(
    below: str, owner_of: Callable[..., Client], acme: Organization
) -> None:
    owner = owner_of(acme)
    for address in (f"{SUPERADMIN}{below}", f"{SUPERADMIN}{below}/", f"{SUPERADMIN}{below}?days=7"):
        response = owner.get(address)
        page = read(response)
        assert (response.status_code, page.headings, page.cards, page.tables) == (403, ["No access"], {}, {})
        assert '<a href="/usage/">' in response.content.decode()


def test_staff_without_superuser_is_refused() -> None:
    client = Client()
    client.force_login(User.objects.create_user("clerk", is_staff=True))
    assert client.get(SUPERADMIN).status_code == 403


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        (SUPERADMIN, "/login/?next=/superadmin/ai-costs"),
        (f"{SUPERADMIN}?days=7", "/login/?next=/superadmin/ai-costs%3Fdays%3D7"),
        (OWN, "/login/?next=/usage/"),
        ("/usage", "/login/?next=/usage"),
        ("/usage/calls", "/login/?next=/usage/calls"),
        ("/", "/login/"),
    ],
)
def test_anonymous_is_sent_to_log_in(client: Client, address: str, expected: str) -> None:
    response = client.get(address)
    assert (response.status_code, response["Location"]) == (302, expected)


@pytest.mark.parametrize("below", BELOW)
def test_superadmin_at_usage_is_sent_to_their_page(superadmin: Client, below: str) -> None:
    response = superadmin.get(f"/usage{below or '/'}?days=7")
    assert (response.status_code, response["Location"]) == (302, f"{SUPERADMIN}{below}?days=7")


def test_home_leads_to_the_right_page(superadmin: Client, owner_of: Callable[..., Client], acme: Organization) -> None:
    assert superadmin.get("/")["Location"] == SUPERADMIN
    assert owner_of(acme).get("/")["Location"] == OWN


@pytest.mark.parametrize("below", BELOW)
def test_trailing_slash_is_optional(
    superadmin: Client, owner_of: Callable[..., Client], acme: Organization, below: str
) -> None:
    owner = owner_of(acme)
    for client, base in ((superadmin, SUPERADMIN), (owner, "/usage")):
        assert [client.get(f"{base}{below}{end}").status_code for end in ("", "/")] == [200, 200]


def test_page_is_not_kept_by_caches(superadmin: Client) -> None:
    assert "no-store" in superadmin.get(SUPERADMIN)["Cache-Control"]


# ── Sidebar ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_pages_and_admin_have_one_sidebar(superadmin: Client) -> None:
    of_page = sidebar(superadmin, SUPERADMIN)
    assert sidebar(superadmin, "/superadmin/") == of_page
    expected = {
        "Overview": SUPERADMIN,
        "Calls": f"{SUPERADMIN}/calls",
        "Organisations": "/superadmin/usage_billing/organization/",
        "Users": "/superadmin/auth/user/",
        "Weekly digests": "/superadmin/ai_assistants/digestdelivery/",
        "API": "/api/docs",
    }
    assert {name: of_page[name] for name in expected} == expected


def test_owner_has_their_own_pages_and_no_admin(owner_of: Callable[..., Client], acme: Organization) -> None:
    links = sidebar(owner_of(acme), OWN)
    assert [links[name] for name in ("Overview", "Explore", "Calls", "Insights")] == [
        OWN,
        "/usage/explore",
        "/usage/calls",
        "/usage/insights",
    ]
    assert [link for link in links.values() if link.startswith("/superadmin")] == []


def test_current_page_is_marked(superadmin: Client, acme: Organization) -> None:
    enter(row(acme))
    call = acme.usagerecord_set.get()
    for address, name in ((f"{SUPERADMIN}/explore", "Explore"), (f"{SUPERADMIN}/calls/{call.pk}", "Calls")):
        text = superadmin.get(address).content.decode()
        (marked,) = re.findall(r'aria-current="page">([^<]+)<', text[text.index("<aside") : text.index("</aside>")])
        assert marked == name


def recorder_says(client: Client) -> str:
    text = client.get(f"{SUPERADMIN}?agent_id=none").content.decode()
    (told,) = re.findall(r'<p class="recorder" data-state="(\w+)">', text)
    return str(told)


@pytest.mark.parametrize(
    ("health", "said"),
    [
        (Health(Backlog(events=3, oldest_at=NOON.timestamp(), rejected=0, lost=0), lost=0, error=""), "late"),
        (Health(Backlog(events=0, oldest_at=None, rejected=0, lost=0), lost=0, error=""), "good"),
        (Health(Backlog(events=0, oldest_at=None, rejected=1, lost=0), lost=0, error=""), "bad"),
        (Health(Backlog(events=0, oldest_at=None, rejected=0, lost=0), lost=2, error=""), "bad"),
        (Health(None, lost=0, error="no such disk"), "bad"),
    ],
)
def test_badge_tells_the_recorders_state(
    superadmin: Client, monkeypatch: pytest.MonkeyPatch, health: Health, said: str
) -> None:
    monkeypatch.setattr("usage_billing.recording.health", lambda: health)
    recorder_state.forget()
    assert recorder_says(superadmin) == said


def test_badge_is_not_red_for_a_model_without_a_price(superadmin: Client, acme: Organization) -> None:
    enter(row(acme, ai_model="gpt-99", cost_usd=None, cost_rub=None, price_source="unpriced:unknown-model"))
    assert recorder_says(superadmin) == "good"


def test_badge_is_the_superadmins(owner_of: Callable[..., Client], acme: Organization) -> None:
    assert 'class="recorder"' not in owner_of(acme).get(OWN).content.decode()


# ── Logging in ───────────────────────────────────────────────────────────────────────────────────────────────────


def set_password(name: str) -> None:
    person = User.objects.get(username=name)
    person.set_password("open sesame")
    person.save()


def test_owner_logs_in_and_out(client: Client, owner_of: Callable[..., Client], acme: Organization) -> None:
    owner_of(acme)
    set_password("olga")
    refused = client.post("/login/", {"username": "olga", "password": "wrong"})
    assert (refused.status_code, refused.context["form"].is_valid()) == (200, False)
    entered = client.post("/login/", {"username": "olga", "password": "open sesame", "next": "/usage/?days=7"})
    assert (entered.status_code, entered["Location"]) == (302, "/usage/?days=7")
    assert read(client.get(OWN)).headings == ["Overview"]
    assert client.get("/logout/").status_code == 405
    assert client.post("/logout/")["Location"] == "/login/"
    assert client.get(OWN)["Location"] == "/login/?next=/usage/"


def test_log_in_does_not_lead_to_another_host(client: Client) -> None:
    User.objects.create_user("olga")
    set_password("olga")
    entered = client.post(
        "/login/", {"username": "olga", "password": "open sesame", "next": "https://elsewhere.example/usage/"}
    )
    assert entered["Location"] == "/"


def test_admin_has_the_log_in_of_the_pages(client: Client, owner_of: Callable[..., Client], acme: Organization) -> None:
    to_log_in = client.get("/superadmin/usage_billing/organization/", follow=True)
    assert to_log_in.redirect_chain[-1][0] == "/login/?next=%2Fsuperadmin%2Fusage_billing%2Forganization%2F"
    # A person who is logged in already is not led round in circles.
    refused = owner_of(acme).get("/superadmin/", follow=True)
    assert (refused.status_code, read(refused).headings) == (403, ["No access"])


# ── Languages ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_page_in_russian(superadmin: Client, acme: Organization, settings: Any) -> None:
    settings.LANGUAGE_CODE = "ru"
    unknown = [row(acme, cost_usd=None, cost_rub=None) for _ in range(2)]
    enter(row(acme, cost_usd=Decimal("12345.67"), cost_rub=Decimal("987654.3"), request_type=""), *unknown)
    response = superadmin.get(SUPERADMIN)
    page = read(response)
    assert '<html lang="ru"' in response.content.decode()
    assert page.headings == ["Обзор"]
    assert page.cards["Запросы"][0] == "3"
    assert page.cards["Стоимость, USD"][0] == "12\u00a0345,67\u00a0$"
    assert page.cards["Стоимость, USD"][1].endswith("2 без цены")
    assert page.cards["Стоимость, RUB"][0] == "987\u00a0654,30\u00a0₽"
    assert "20 мая" in response.content.decode()
    assert "без типа" in response.content.decode()


def test_language_can_be_changed(superadmin: Client) -> None:
    assert read(superadmin.get(SUPERADMIN)).headings == ["Overview"]
    response = superadmin.post(reverse("set_language"), {"language": "ru", "next": f"{SUPERADMIN}?days=7"})
    assert response["Location"] == f"{SUPERADMIN}?days=7"
    assert read(superadmin.get(SUPERADMIN)).headings == ["Обзор"]
