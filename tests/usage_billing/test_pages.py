"""The AI costs page: who sees which numbers, how they are written, and what the page says when they are not known."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from tests.usage_billing.page_text import read
from tests.usage_billing.rows import NOON, enter, row
from usage_billing import admin_navigation, pages
from usage_billing.models import Membership, Organization
from usage_billing.recording.outbox import Backlog
from usage_billing.recording.recorder import Health

SUPERADMIN, OWN = "/superadmin/ai-costs", "/usage/"
TYPES = "Totals of the period by request type, the dearest first"
DAYS = "Totals by day, the oldest first"
LATEST = "The last calls, whatever the period, newest first"
WELL = Health(backlog=Backlog(events=0, oldest_at=None, set_aside=0, lost=0), lost=0, error="")

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def at_noon(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    """The clock stands at `NOON`, in English, and no recorder of this machine is looked at."""
    settings.LANGUAGE_CODE = "en"
    monkeypatch.setattr("django.utils.timezone.now", lambda: NOON)
    monkeypatch.setattr("usage_billing.recording.health", lambda: WELL)
    monkeypatch.setattr(pages, "destination_sources", [])


def user(name: str, **attributes: Any) -> User:
    return User.objects.create_user(name, **attributes)


def organization(name: str, **attributes: Any) -> Organization:
    return Organization.objects.create(name=name, slug=name.lower(), timezone="Europe/Moscow", **attributes)


def logged_in(person: User) -> Client:
    client = Client()
    client.force_login(person)
    return client


@pytest.fixture
def acme() -> Organization:
    return organization("Acme")


@pytest.fixture
def globex() -> Organization:
    return organization("Globex")


@pytest.fixture
def superadmin() -> Client:
    return logged_in(user("root", is_staff=True, is_superuser=True))


@pytest.fixture
def member_of() -> Callable[..., Client]:
    def log_in(*orgs: Organization, role: str = "member", name: str = "misha") -> Client:
        person = user(name)
        for org in orgs:
            Membership.objects.create(org=org, user=person, role=role)
        return logged_in(person)

    return log_in


@pytest.fixture
def owner_of(member_of: Callable[..., Client]) -> Callable[..., Client]:
    return lambda *orgs: member_of(*orgs, role="owner", name="olga")


@pytest.fixture
def two_tenants(acme: Organization, globex: Organization) -> None:
    enter(
        row(acme, request_type="weekly_digest", cost_usd=Decimal("0.25"), cost_rub=Decimal("20")),
        row(acme, request_type="custom_analysis", cost_usd=Decimal("0.75"), cost_rub=Decimal("60")),
        row(globex, request_type="globex_secret", cost_usd=Decimal("7777"), cost_rub=Decimal("622160")),
    )


# ── Who sees what ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.usefixtures("two_tenants")
def test_superadmin_sees_every_organisation(superadmin: Client) -> None:
    page = read(superadmin.get(SUPERADMIN))
    assert page.headings == ["AI costs"]
    assert page.cards["Requests"] == ["3"]
    assert page.cards["Tokens"] == ["360", "300 in, 60 out"]
    assert page.cards["Cost, USD"] == ["$7,778.00"]
    assert page.cards["Cost, RUB"] == ["₽622,240.00"]
    assert page.tables[TYPES] == [
        ["Request type", "Requests", "Tokens", "USD", "RUB", "Share of cost", "Failed", "Unknown cost"],
        ["globex_secret", "1", "120", "$7,777.00", "₽622,160.00", "100.0%", "0", "0"],
        ["custom_analysis", "1", "120", "$0.75", "₽60.00", "<\u00a00.1%", "0", "0"],
        ["weekly_digest", "1", "120", "$0.25", "₽20.00", "<\u00a00.1%", "0", "0"],
    ]


@pytest.mark.usefixtures("two_tenants")
def test_owner_sees_their_organisation_and_nothing_of_another(
    superadmin: Client, owner_of: Callable[..., Client], acme: Organization
) -> None:
    secrets = ("globex_secret", "7,777", "622,160", "Globex")
    everything = superadmin.get(SUPERADMIN).content.decode()
    assert [secret in everything for secret in secrets] == [True] * len(secrets)

    response = owner_of(acme).get(OWN)
    page = read(response)
    assert page.cards["Requests"] == ["2"]
    assert page.cards["Cost, USD"] == ["$1.00"]
    assert page.cards["Cost, RUB"] == ["₽80.00"]
    assert [line[0] for line in page.tables[TYPES][1:]] == ["custom_analysis", "weekly_digest"]
    assert len(page.tables[LATEST][1:]) == 2
    assert [secret in response.content.decode() for secret in secrets] == [False] * len(secrets)


def test_member_sees_only_their_own_calls(member_of: Callable[..., Client], acme: Organization) -> None:
    client = member_of(acme)
    misha = User.objects.get(username="misha")
    enter(
        row(acme, user_id=misha.pk, cost_usd=Decimal("0.11"), cost_rub=Decimal("9")),
        row(acme, user_id=user("colleague").pk, cost_usd=Decimal("0.22"), cost_rub=Decimal("18")),
        row(acme),
    )
    page = read(client.get(OWN))
    assert page.cards["Requests"] == ["1"]
    assert page.cards["Cost, USD"] == ["$0.11"]
    assert [line[6] for line in page.tables[LATEST][1:]] == ["misha"]


def test_member_sees_nothing_of_an_organisation_that_they_left(
    member_of: Callable[..., Client], acme: Organization
) -> None:
    client = member_of(acme)
    enter(row(acme, user_id=User.objects.get(username="misha").pk))
    assert read(client.get(OWN)).cards["Requests"] == ["1"]
    Membership.objects.all().delete()
    assert read(client.get(OWN)).cards["Requests"] == ["0"]


@pytest.mark.usefixtures("two_tenants")
def test_outsider_is_told_that_they_belong_to_no_organisation() -> None:
    page = read(logged_in(user("stranger")).get(OWN))
    assert page.cards == {
        "Requests": ["0"],
        "Tokens": ["0", "0 in, 0 out"],
        "Cost, USD": ["$0"],
        "Cost, RUB": ["₽0"],
    }
    assert page.titles == ["You belong to no organisation yet"]
    assert page.tables == {}


@pytest.mark.usefixtures("two_tenants")
@pytest.mark.parametrize("address", [SUPERADMIN, f"{SUPERADMIN}/", f"{SUPERADMIN}?days=7"])
def test_superadmin_page_refuses_others_and_names_theirs(
    address: str, owner_of: Callable[..., Client], acme: Organization
) -> None:
    response = owner_of(acme).get(address)
    assert response.status_code == 403
    page = read(response)
    assert (page.headings, page.cards, page.tables) == (["No access"], {}, {})
    assert '<a class="costs-link" href="/usage/">' in response.content.decode()


def test_staff_without_superuser_is_refused(acme: Organization) -> None:
    response = logged_in(user("clerk", is_staff=True)).get(SUPERADMIN)
    assert response.status_code == 403
    assert "nav-sidebar" not in response.content.decode()


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        (SUPERADMIN, "/superadmin/login/?next=/superadmin/ai-costs"),
        (f"{SUPERADMIN}?days=7", "/superadmin/login/?next=/superadmin/ai-costs%3Fdays%3D7"),
        (OWN, "/login/?next=/usage/"),
        ("/usage", "/login/?next=/usage"),
        ("/", "/login/"),
    ],
)
def test_anonymous_is_sent_to_log_in(client: Client, address: str, expected: str) -> None:
    response = client.get(address)
    assert (response.status_code, response["Location"]) == (302, expected)


def test_superadmin_at_usage_is_sent_to_their_page(superadmin: Client) -> None:
    response = superadmin.get("/usage/?days=7")
    assert (response.status_code, response["Location"]) == (302, "/superadmin/ai-costs?days=7")


def test_home_leads_to_the_right_page(superadmin: Client, owner_of: Callable[..., Client], acme: Organization) -> None:
    assert superadmin.get("/")["Location"] == "/superadmin/ai-costs"
    assert owner_of(acme).get("/")["Location"] == "/usage/"


def test_trailing_slash_is_optional(superadmin: Client, owner_of: Callable[..., Client], acme: Organization) -> None:
    owner = owner_of(acme)
    assert [superadmin.get(address).status_code for address in (SUPERADMIN, f"{SUPERADMIN}/")] == [200, 200]
    assert [owner.get(address).status_code for address in ("/usage", "/usage/")] == [200, 200]


def test_sidebar_is_the_superadmins_and_names_the_page_active(
    superadmin: Client, owner_of: Callable[..., Client], acme: Organization
) -> None:
    group = superadmin.get(SUPERADMIN).context["sidebar_navigation"][0]
    assert [(item["title"], bool(item["active"])) for item in group["items"]] == [
        ("AI costs", True),
        ("Calls", False),
        ("Organisations", False),
        ("Exchange rates", False),
        ("Own prices", False),
        ("Re-costings", False),
        ("Users", False),
        ("User groups", False),
        *((str(entry.title), False) for entry in admin_navigation.further),
    ]
    assert "nav-sidebar" not in owner_of(acme).get(OWN).content.decode()


def test_page_is_not_kept_by_caches(superadmin: Client) -> None:
    assert "no-store" in superadmin.get(SUPERADMIN)["Cache-Control"]


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
    assert read(client.get(OWN)).headings == ["AI costs"]
    assert client.get("/logout/").status_code == 405
    assert client.post("/logout/")["Location"] == "/login/"
    assert client.get(OWN)["Location"] == "/login/?next=/usage/"


def test_log_in_does_not_lead_to_another_host(client: Client) -> None:
    user("olga")
    set_password("olga")
    entered = client.post(
        "/login/", {"username": "olga", "password": "open sesame", "next": "https://elsewhere.example/usage/"}
    )
    assert entered["Location"] == "/"


# ── Periods ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("days", [7, 30, 90])
def test_period_holds_its_first_day_and_not_the_day_before(superadmin: Client, acme: Organization, days: int) -> None:
    first = NOON - timedelta(days=days - 1)
    enter(row(acme, created_at=first, cost_usd=Decimal("3")), row(acme, created_at=first - timedelta(days=1)))
    page = read(superadmin.get(f"{SUPERADMIN}?days={days}"))
    assert page.cards["Requests"] == ["1"]
    assert page.cards["Cost, USD"] == ["$3.00"]
    assert len(page.tables[DAYS][1:]) == days
    assert page.current_links == [f"?days={days}"]


def test_today_is_that_of_the_organisation(member_of: Callable[..., Client]) -> None:
    """At noon in London it is the next day on Kiritimati, where the period ends a day later."""
    kiritimati = organization("Kiritimati")
    Organization.objects.update(timezone="Pacific/Kiritimati")
    kiritimati.refresh_from_db()
    client = member_of(kiritimati, role="owner")
    enter(row(kiritimati))
    page = read(client.get(f"{OWN}?days=7"))
    assert [line[0] for line in page.tables[DAYS][1:]] == [f"May {day}, 2026" for day in range(15, 22)]
    assert page.tables[LATEST][1][0] == "May 21, 02:00:00"


def test_day_that_is_ahead_of_the_readers_counts(superadmin: Client) -> None:
    kiritimati = organization("Kiritimati")
    kiritimati.timezone = "Pacific/Kiritimati"
    enter(row(kiritimati))
    page = read(superadmin.get(f"{SUPERADMIN}?days=7"))
    assert page.cards["Requests"] == ["1"]
    assert page.tables[DAYS][-1][:2] == ["May 21, 2026", "1"]


@pytest.mark.parametrize("days", ["", "abc", "0", "-7", "31", "9" * 30, "30 OR 1=1", "٣٠", "7\x00", "<script>"])
def test_period_that_is_none_is_30_days_with_a_notice(superadmin: Client, days: str) -> None:
    response = superadmin.get(SUPERADMIN, {"days": days})
    assert response.status_code == 200
    assert read(response).current_links == ["?days=30"]
    assert response.context["days_understood"] is False
    assert "the address asked for something else" in response.content.decode()


def test_period_not_asked_for_is_30_days_without_a_notice(superadmin: Client) -> None:
    response = superadmin.get(SUPERADMIN)
    assert read(response).current_links == ["?days=30"]
    assert "the address asked for something else" not in response.content.decode()


# ── Amounts ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_amount_of_which_nothing_is_known_is_unknown_and_not_zero(superadmin: Client, acme: Organization) -> None:
    enter(row(acme, cost_usd=None, cost_rub=None, price_source="unpriced:model"))
    page = read(superadmin.get(SUPERADMIN))
    assert page.cards["Cost, USD"] == ["—unknown", "+ 1 call of unknown cost"]
    assert page.cards["Cost, RUB"] == ["—unknown", "+ 1 call of unknown cost"]
    assert page.cards["Tokens"][0] == "120"
    assert page.tables[TYPES][1][3:] == ["—unknown", "—unknown", "—", "0", "1"]
    assert page.tables[DAYS][-1][3:] == ["—unknown", "—unknown", "1"]
    assert page.tables[LATEST][1][4:6] == ["—unknown", "—unknown"]
    assert json.loads(page.charts[0])["datasets"][0]["data"][-1] is None


def test_amount_that_is_known_in_part_says_what_it_leaves_out(superadmin: Client, acme: Organization) -> None:
    unknown = [row(acme, cost_usd=None, cost_rub=None) for _ in range(3)]
    enter(row(acme, cost_usd=Decimal("2"), cost_rub=None), *unknown, row(acme))
    page = read(superadmin.get(SUPERADMIN))
    assert page.cards["Cost, USD"] == ["$2.50", "+ 3 calls of unknown cost"]
    assert page.cards["Cost, RUB"] == ["₽40.00", "+ 4 calls of unknown cost"]
    assert page.titles[-1] == "Calls of unknown cost"


def test_free_is_zero_and_not_unknown(superadmin: Client, acme: Organization) -> None:
    enter(row(acme, cost_usd=Decimal(0), cost_rub=Decimal(0), status="failed", error_code="rate_limit_exceeded"))
    page = read(superadmin.get(SUPERADMIN))
    assert page.cards["Requests"] == ["1", "1 of them failed"]
    assert (page.cards["Cost, USD"], page.cards["Cost, RUB"]) == (["$0"], ["₽0"])
    assert page.tables[LATEST][1][-1] == "failed rate_limit_exceeded"


def test_small_cost_can_be_seen_and_is_exact_on_hover(superadmin: Client, acme: Organization) -> None:
    enter(row(acme, cost_usd=Decimal("0.000123456"), cost_rub=Decimal("0.00987648")))
    response = superadmin.get(SUPERADMIN)
    assert read(response).cards["Cost, USD"] == ["$0.000123"]
    assert '<dd class="costs-total"><span class="costs-amount" title="$0.000123456">' in response.content.decode()


def test_page_in_russian(superadmin: Client, acme: Organization, settings: Any) -> None:
    settings.LANGUAGE_CODE = "ru"
    unknown = [row(acme, cost_usd=None, cost_rub=None) for _ in range(2)]
    enter(row(acme, cost_usd=Decimal("12345.67"), cost_rub=Decimal("987654.3"), request_type=""), *unknown)
    response = superadmin.get(SUPERADMIN)
    page = read(response)
    assert '<html lang="ru"' in response.content.decode()
    assert page.headings == ["AI Расходы"]
    assert page.cards["Запросы"] == ["3"]
    assert page.cards["Стоимость, USD"] == ["12\u00a0345,67\u00a0$", "+ 2 вызова неизвестной стоимости"]
    assert page.cards["Стоимость, RUB"] == ["987\u00a0654,30\u00a0₽", "+ 2 вызова неизвестной стоимости"]
    types = page.tables["Итоги периода по типу запроса, сначала самые дорогие"]
    assert [line[0] for line in types] == ["Тип запроса", "без типа", "custom_analysis"]


def test_language_can_be_changed(superadmin: Client) -> None:
    assert read(superadmin.get(SUPERADMIN)).headings == ["AI costs"]
    response = superadmin.post(reverse("set_language"), {"language": "ru", "next": f"{SUPERADMIN}?days=7"})
    assert response["Location"] == f"{SUPERADMIN}?days=7"
    assert read(superadmin.get(SUPERADMIN)).headings == ["AI Расходы"]


def test_chart_has_the_numbers_of_its_table(superadmin: Client, acme: Organization) -> None:
    enter(row(acme, cost_usd=Decimal("0.000001")), row(acme, created_at=NOON - timedelta(days=2)))
    page = read(superadmin.get(f"{SUPERADMIN}?days=7"))
    chart = json.loads(page.charts[0])
    assert chart["labels"] == [f"May {day}" for day in range(14, 21)]
    assert [Decimal(amount) for amount in chart["datasets"][0]["data"]] == [
        Decimal(amount) for amount in ("0", "0", "0", "0", "0.50", "0", "0.000001")
    ]
    assert [line[3] for line in page.tables[DAYS][1:]] == ["$0", "$0", "$0", "$0", "$0.50", "$0", "$0.000001"]


# ── The last calls ───────────────────────────────────────────────────────────────────────────────────────────────


def test_last_calls_are_50_newest_first_with_all_that_is_known(superadmin: Client, acme: Organization) -> None:
    anna, gone = user("anna"), user("gone")
    gone_id = gone.pk
    enter(
        *(row(acme, created_at=NOON - timedelta(days=100, minutes=n)) for n in range(60)),
        row(acme, user_id=anna.pk, created_at=datetime(2026, 5, 20, 9, 0, 1, tzinfo=UTC), agent_id="", request_type=""),
        row(acme, user_id=gone_id, created_at=datetime(2026, 5, 20, 8, 0, tzinfo=UTC), status="aborted"),
    )
    gone.delete()
    lines = read(superadmin.get(SUPERADMIN)).tables[LATEST]
    assert len(lines) == 1 + 50
    what = ["gpt-5-mini openai", "120", "$0.50", "₽40.00", "Acme"]
    assert lines[1] == ["May 20, 12:00:01", "no type no agent", *what, "anna", "succeeded"]
    assert lines[2] == ["May 20, 11:00:00", "custom_analysis legal_guard", *what, f"#{gone_id}", "cut short"]
    assert lines[3][-2] == "system"


def test_organisation_is_named_only_where_there_are_several(
    member_of: Callable[..., Client], owner_of: Callable[..., Client], acme: Organization, globex: Organization
) -> None:
    enter(row(acme), row(globex))
    of_one = read(owner_of(acme).get(OWN)).tables[LATEST]
    of_two = read(member_of(acme, globex, role="owner").get(OWN)).tables[LATEST]
    assert ("Organisation" in of_one[0], "Organisation" in of_two[0]) == (False, True)
    assert sorted(line[6] for line in of_two[1:]) == ["Acme", "Globex"]


def test_what_callers_send_is_never_markup(superadmin: Client) -> None:
    attack = "</script><script>alert(1)</script>\"'&"
    hostile = organization("Hostile")
    Organization.objects.update(name=attack)
    person = user("plain")
    User.objects.filter(pk=person.pk).update(username=attack)
    texts = ("agent_id", "request_type", "ai_provider", "ai_model", "error_code")
    enter(row(hostile, user_id=person.pk, status="failed", **dict.fromkeys(texts, attack)))
    response = superadmin.get(SUPERADMIN)
    assert read(response).tables[LATEST][1][1] == f"{attack} {attack}"
    assert read(response).tables[LATEST][1][6:] == [attack, attack, f"failed {attack}"]
    assert "<script>alert" not in response.content.decode()


# ── What else the page says ──────────────────────────────────────────────────────────────────────────────────────


def test_page_without_calls_says_what_to_do_first(owner_of: Callable[..., Client], acme: Organization) -> None:
    response = owner_of(acme).get(OWN)
    page = read(response)
    assert (page.titles, page.tables) == (["No calls in this period"], {})
    text = response.content.decode()
    assert "<code>from ai_clients import OpenAI, AsyncOpenAI, Anthropic, AsyncAnthropic</code>" in text
    assert "<code>python manage.py demo</code>" in text


def test_page_says_where_calls_go_without_what_an_address_hides(
    owner_of: Callable[..., Client], acme: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = [
        lambda: {"OpenAI": "simulator"},
        lambda: {"Anthropic": "https://someone:password@proxy.example:8443/v1?key=secret"},
    ]
    monkeypatch.setattr(pages, "destination_sources", sources)
    response = owner_of(acme).get(OWN)
    assert response.context["destinations"] == {"OpenAI": "simulator", "Anthropic": "proxy.example:8443"}
    text = response.content.decode()
    assert "the simulator on this machine (no key set)" in text
    assert ("password" in text, "key=secret" in text) == (False, False)


def test_recorder_health_is_the_superadmins(
    superadmin: Client, owner_of: Callable[..., Client], acme: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    three_minutes_ago = (NOON - timedelta(minutes=3)).timestamp()
    backlog = Backlog(events=1200, oldest_at=three_minutes_ago, set_aside=2, lost=4)
    monkeypatch.setattr("usage_billing.recording.health", lambda: Health(backlog=backlog, lost=5, error="disk full"))
    cards = read(superadmin.get(SUPERADMIN)).cards
    assert cards["Waiting for the ledger"] == ["1,200, the oldest for 3\u00a0minutes"]
    assert cards["Set aside, refused by the ledger"] == ["2"]
    assert (cards["Lost"], cards["Error"]) == (["5"], ["disk full"])
    assert "Lost" not in read(owner_of(acme).get(OWN)).cards


def test_outbox_that_cannot_be_read_is_said_to_be_so(superadmin: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("usage_billing.recording.health", lambda: Health(backlog=None, lost=0, error="no such disk"))
    response = superadmin.get(SUPERADMIN)
    assert read(response).cards["Waiting for the ledger"] == ["unknown: the outbox cannot be read"]
    assert "The recorder needs attention." in response.content.decode()


# ── Cost of the page itself ──────────────────────────────────────────────────────────────────────────────────────


def fill(orgs: list[Organization], people: list[User], calls: int) -> None:
    enter(
        *(
            row(
                orgs[n % len(orgs)],
                user_id=people[n % len(people)].pk,
                request_type=f"type_{n % 17}",
                agent_id=f"agent_{n % 7}",
                ai_model=f"model_{n % 11}",
                created_at=NOON - timedelta(hours=n),
            )
            for n in range(calls)
        )
    )


@pytest.mark.parametrize("calls", [1, 400])
def test_number_of_queries_is_fixed(
    calls: int,
    superadmin: Client,
    member_of: Callable[..., Client],
    acme: Organization,
    globex: Organization,
    django_assert_num_queries: Any,
) -> None:
    member = member_of(acme, globex, role="owner")
    orgs = [acme, globex, *(organization(f"Org{n}") for n in range(10))]
    fill(orgs, [User.objects.get(username="misha"), *(user(f"user{n}") for n in range(20))], calls)
    # Session, user; totals, by day, by type, the last calls, names of their users.
    with django_assert_num_queries(7):
        superadmin.get(f"{SUPERADMIN}?days=90")
    # The same, with memberships, the organisations' names and, for the admin's frame, the two kinds of permissions.
    with django_assert_num_queries(11):
        member.get(f"{OWN}?days=90")
