"""The controls above each page: the period, the currency and the filters, all of them in the address."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from tests.support.factories import event
from tests.support.page_text import read
from tests.support.rows import NOON, enter, row
from usage_billing.ledger import writer
from usage_billing.models import Organization
from usage_billing.pages import hooks

SUPERADMIN, OWN = "/superadmin/ai-costs", "/usage/"

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("at_noon")]


def current(response: Any) -> list[str]:
    return [each.link for each in response.context["periods"] if each.is_current]


# ── Periods ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("days", [7, 30, 90])
def test_period_holds_its_first_day_and_not_the_day_before(superadmin: Client, acme: Organization, days: int) -> None:
    first = NOON - timedelta(days=days - 1)
    enter(row(acme, created_at=first, cost_usd=Decimal("3")), row(acme, created_at=first - timedelta(days=1)))
    response = superadmin.get(f"{SUPERADMIN}?days={days}")
    page = read(response)
    assert (page.cards["Requests"][0], page.cards["Cost, USD"][0]) == ("1", "$3.00")
    assert len(page.bars) == days
    assert current(response) == [f"?days={days}"]


@pytest.mark.parametrize(
    ("query", "since", "last"),
    [
        ("period=this-month", date(2026, 5, 1), date(2026, 5, 20)),
        ("period=last-month", date(2026, 4, 1), date(2026, 4, 30)),
        ("from=2026-05-03&to=2026-05-05", date(2026, 5, 3), date(2026, 5, 5)),
        ("from=2026-05-18", date(2026, 5, 18), date(2026, 5, 20)),
        ("days=2&to=2026-05-05", date(2026, 5, 4), date(2026, 5, 5)),
        ("", date(2026, 4, 21), date(2026, 5, 20)),
    ],
)
def test_period_of_the_address(superadmin: Client, query: str, since: date, last: date) -> None:
    context = superadmin.get(f"{SUPERADMIN}?{query}").context
    assert (context["since"], context["last"], context["parameters"].hints) == (since, last, [])


def test_today_is_that_of_the_organisation(member_of: Callable[..., Client]) -> None:
    """At noon in London it is the next day on Kiritimati, where the period ends a day later."""
    kiritimati = Organization.objects.create(name="K", slug="k", timezone="Pacific/Kiritimati")
    client = member_of(kiritimati, role="owner")
    enter(row(kiritimati))
    page = read(client.get(f"{OWN}?days=7"))
    assert [bar.partition(":")[0] for bar in page.bars] == [f"{day} May 2026" for day in range(15, 22)]
    assert page.tables["Calls, newest first"][1][0] == "21 May 02:00:00"


def test_day_that_is_ahead_of_the_readers_counts(superadmin: Client) -> None:
    enter(row(Organization.objects.create(name="K", slug="k", timezone="Pacific/Kiritimati")))
    page = read(superadmin.get(f"{SUPERADMIN}?days=7"))
    assert page.cards["Requests"][0] == "1"
    assert page.bars[-1].startswith("21 May 2026: $")


@pytest.mark.parametrize("days", ["abc", "0", "-7", "9" * 30, "30 OR 1=1", "7\x00", "<script>"])
def test_period_that_is_none_is_30_days_with_a_hint(superadmin: Client, days: str) -> None:
    response = superadmin.get(SUPERADMIN, {"days": days})
    assert response.status_code == 200
    assert current(response) == ["?days=30"]
    assert len(response.context["parameters"].hints) == 1
    assert "in the address was left out" in response.content.decode()
    assert "<script>" not in response.content.decode().replace("<script src", "")


@pytest.mark.parametrize(
    "query",
    [
        "from=2026-13-01",
        "from=1900-01-01",
        "from=2026-05-05&to=2026-05-01",
        "days=7&from=2026-05-01",
        "period=this-month&days=7",
        "period=never",
        "by=nothing",
        "currency=eur",
        "org=abc",
        "org=1.0",
        "user=1.0",
        "org=%D9%A1",
        "user=-1",
        "org=99999999999999999999",
        "status=odd",
        "status!=odd",
        "unpriced=eur",
        "filters=few",
        "request_type=" + "x" * 300,
    ],
)
def test_what_cannot_be_understood_is_left_out_with_a_hint(superadmin: Client, acme: Organization, query: str) -> None:
    enter(row(acme))
    response = superadmin.get(f"{SUPERADMIN}?{query}")
    assert response.status_code == 200
    assert len(response.context["parameters"].hints) >= 1
    assert read(response).cards["Requests"][0] == "1"
    assert "in the address was left out" in response.content.decode()


def test_what_is_not_the_pages_is_ignored(superadmin: Client) -> None:
    assert superadmin.get(f"{SUPERADMIN}?utm_source=mail").context["parameters"].hints == []


# ── Filters ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_filters_are_together_and_values_of_one_are_alternatives(
    superadmin: Client, acme: Organization, globex: Organization
) -> None:
    anna = User.objects.create_user("anna")
    enter(
        row(acme, user_id=anna.pk, agent_id="a", ai_model="m", request_type="t"),
        row(acme, user_id=anna.pk, agent_id="", ai_model="m", request_type="t"),
        row(acme, agent_id="a", ai_model="n", request_type=""),
        row(globex, agent_id="b", ai_model="m", request_type="t", cost_usd=None, cost_rub=None),
    )

    def count(query: str) -> int:
        total: int = superadmin.get(f"{SUPERADMIN}?{query}").context["total"]["requests_count"]
        return total

    assert count("") == 4
    assert count(f"org={acme.pk}") == 3
    assert count(f"org={acme.pk}&agent_id=a") == 2
    assert count("agent_id=") == 1
    assert count(f"request_type=&org={acme.pk}") == 1
    assert count(f"user={anna.pk}") == 2
    assert count("user=0") == 2
    assert count("agent_id=a&agent_id=b") == 3
    assert count("agent_id!=a") == 2
    assert count("agent_id!=a&agent_id!=b") == 1
    assert count("agent_id=a&agent_id=b&agent_id!=b") == 2
    assert count(f"user!={anna.pk}&ai_model=m") == 1
    assert count("unpriced=usd") == 1


def test_chips_name_each_filter_and_remove_it(superadmin: Client, acme: Organization) -> None:
    anna = User.objects.create_user("anna")
    enter(row(acme, user_id=anna.pk, created_at=NOON - timedelta(days=90)))
    response = superadmin.get(f"{SUPERADMIN}?days=7&org={acme.pk}&user={anna.pk}&agent_id!=a&agent_id!=&tag.env=prod")
    assert [(chip.label, chip.is_excluded, chip.values) for chip in response.context["chips"]] == [
        ("Organisation", False, "Acme"),
        ("User", False, "anna"),
        ("Agent", True, "a, no agent"),
        ("Tag env", False, "prod"),
    ]
    links = [chip.link for chip in response.context["chips"]]
    assert links[2] == f"?days=7&org={acme.pk}&user={anna.pk}&tag.env=prod"
    assert response.context["clear_link"] == "?days=7"


def test_an_organisation_may_be_named_by_its_slug(
    superadmin: Client, owner_of: Callable[..., Client], acme: Organization, globex: Organization
) -> None:
    enter(row(acme), row(acme), row(globex))
    for query, name, count in (
        ("org=acme", "Acme", 2),
        (f"org=acme&org={acme.pk}", "Acme", 2),
        ("org!=acme", "Acme", 1),
    ):
        for address in (SUPERADMIN, f"{SUPERADMIN}/calls", f"{SUPERADMIN}/explore", f"{SUPERADMIN}/insights"):
            shown = superadmin.get(f"{address}?{query}&filters=edit").context
            assert [chip.values for chip in shown["chips"]] == [name]
            assert shown["parameters"].hints == []
        assert superadmin.get(f"{SUPERADMIN}?{query}").context["total"]["requests_count"] == count
    assert superadmin.get(f"{SUPERADMIN}?org=acme").context["page"].calls() == f"{SUPERADMIN}/calls?org={acme.pk}"
    owner = owner_of(acme)
    assert owner.get("/usage/?org=acme").context["parameters"].filters == {"org_id": {acme.pk}}
    hints = [owner.get(f"/usage/?org={slug}").context["parameters"].hints for slug in ("globex", "nobody")]
    assert hints[0] == [
        "“org=globex” in the address was left out: There is no organisation “globex” here. Give its id, or the slug of "
        "one that you may see."
    ]
    assert hints[1] == [hints[0][0].replace("globex", "nobody")]


@pytest.mark.usefixtures("two_tenants")
def test_form_offers_the_values_of_the_period_and_those_that_are_set(superadmin: Client, acme: Organization) -> None:
    fields = superadmin.get(f"{SUPERADMIN}?request_type=weekly_digest&agent_id!=gone&filters=edit").context[
        "filter_fields"
    ]
    by_name = {field.name: field.options for field in fields}
    assert by_name["request_type"] == [
        ("custom_analysis", "custom_analysis", ""),
        ("globex_secret", "globex_secret", ""),
        ("weekly_digest", "weekly_digest", "is"),
    ]
    assert ("gone", "gone", "not") in by_name["agent_id"]
    assert [text for _, text, _ in by_name["org"]] == ["Acme", "Globex"]


def test_form_offers_the_values_of_tags(
    owner_of: Callable[..., Client], member_of: Callable[..., Client], acme: Organization, globex: Organization
) -> None:
    writer.add(
        [
            event(org=acme, attribution={"tags": {"feature": "search", "env": "prod"}}),
            event(org=acme, attribution={"tags": {"feature": "chat"}}),
            event(org=globex, attribution={"tags": {"globex_tag": "secret"}}),
        ]
    )
    client = owner_of(acme)

    def offered(query: str) -> dict[str, Any]:
        fields = client.get(f"{OWN}?period=last-month&{query}filters=edit").context["filter_fields"]
        return {field.name: field.options for field in fields if field.name.startswith("tag.")}

    assert [*offered("")] == ["tag.env", "tag.feature"]
    narrowed = client.get(f"{OWN}?days=3000&tag.feature=search&filters=edit").context["filter_fields"]
    by_name = {field.name: field.options for field in narrowed}
    assert ("search", "search", "is") in by_name["tag.feature"]
    assert ("chat", "chat", "") in by_name["tag.feature"]
    # The registry of tags is the owners'.
    others = member_of(acme).get(f"{OWN}?filters=edit").context["filter_fields"]
    assert [field.name for field in others if field.name.startswith("tag.")] == []


def test_form_keeps_what_it_has_no_field_for(superadmin: Client, acme: Organization) -> None:
    enter(row(acme))
    context = superadmin.get(f"{SUPERADMIN}?days=7&by=agent_id&workflow_id=w&agent_id=a&filters=edit").context
    assert [*context["kept_by_filters"]] == [("days", "7"), ("by", "agent_id"), ("workflow_id", "w")]


def test_empty_fields_of_a_form_are_left_out_of_the_address(superadmin: Client) -> None:
    response = superadmin.get(f"{SUPERADMIN}?days=7&agent_id=&from=&to=")
    assert (response.status_code, response["Location"]) == (302, f"{SUPERADMIN}?days=7&agent_id=")
    assert superadmin.get(f"{SUPERADMIN}?from=")["Location"] == SUPERADMIN


@pytest.mark.usefixtures("two_tenants")
@pytest.mark.parametrize("page", ["/usage/", "/usage/explore", "/usage/calls", "/usage/insights"])
def test_addresses_of_another_tenant_show_nothing_of_it(
    owner_of: Callable[..., Client], acme: Organization, globex: Organization, page: str
) -> None:
    stranger = User.objects.create_user("globex_spy")
    enter(row(globex, user_id=stranger.pk, content_id="globex_post", workflow_id="globex_flow"))
    client = owner_of(acme)
    for query in (
        f"org={globex.pk}",
        f"user={stranger.pk}",
        f"org!={acme.pk}",
        "request_type=globex_secret",
        "content_id=globex_post",
        "workflow_id=globex_flow",
        f"org={globex.pk}&by=user&filters=edit",
    ):
        response = client.get(f"{page}?{query}")
        text = response.content.decode()
        assert response.status_code == 200
        # The page repeats nothing but its own address.
        assert ("Globex" in text, "globex_spy" in text, "7,777" in text, "7777" in text) == (False,) * 4


def test_page_says_that_the_simulator_answers(
    owner_of: Callable[..., Client], acme: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = [
        lambda: {"OpenAI": "simulator"},
        lambda: {"Anthropic": "https://someone:password@proxy.example:8443/v1?key=secret"},
    ]
    monkeypatch.setattr(hooks, "destination_sources", sources)
    text = owner_of(acme).get(OWN).content.decode()
    assert "The simulator answers for OpenAI" in text
    assert ("Anthropic</span>" in text, "password" in text, "key=secret" in text) == (False, False, False)
