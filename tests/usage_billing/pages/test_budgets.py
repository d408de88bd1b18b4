"""The pages of budgets: who sees what of them, the forms, requests, and links from numbers to their calls."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from html import unescape
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from tests.support.rows import NOON, enter, row
from usage_billing.models import Budget, BudgetChange, BudgetRequest, Membership, Organization

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("at_noon")]

OWN, SUPERADMIN = "/usage/budgets", "/superadmin/ai-costs/budgets"
NOTICE = re.compile(r'<p class="notice"[^>]*>(.*?)</p>')


def budget(org: Organization, name: str = "May", limit: str = "10", **fields: Any) -> Budget:
    given = {"starts_on": NOON.date(), "created_at": NOON - timedelta(days=40)} | fields
    return Budget.objects.create(org=org, name=name, limit=Decimal(limit), **given)


def html(client: Client, address: str, status: int = 200) -> str:
    answer = client.get(address)
    assert answer.status_code == status, (address, answer.status_code)
    return unescape(answer.content.decode())


def notices(client: Client, address: str) -> list[str]:
    return NOTICE.findall(html(client, address))


def form(**fields: Any) -> dict[str, Any]:
    """What the form of a new budget sends."""
    return {
        "name": "November", "limit": "100.00", "unit": "usd", "window": "month", "mode": "stop",
        "thresholds": "50, 80, 100", "when_unavailable": "open", "is_active": "on",
    } | fields  # fmt: skip


@pytest.fixture
def olga(owner_of: Callable[..., Client], acme: Organization) -> Client:
    return owner_of(acme)


@pytest.fixture
def misha(member_of: Callable[..., Client], acme: Organization) -> Client:
    return member_of(acme)


# ── The list ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_without_budgets_an_owner_is_shown_what_they_are_for_and_where_to_set_one(olga: Client) -> None:
    text = html(olga, OWN)
    assert "No budgets yet" in text
    assert f'href="{OWN}/new"' in text


def test_without_budgets_a_member_learns_who_sets_them(misha: Client) -> None:
    text = html(misha, OWN)
    assert "No budget counts your calls." in text
    assert f"{OWN}/new" not in text


def test_person_without_an_organisation_sees_no_budgets(member_of: Callable[..., Client], acme: Organization) -> None:
    budget(acme, "Hidden")
    assert "Hidden" not in html(member_of(), OWN)


def test_owner_sees_the_figures_of_each_budget(olga: Client, acme: Organization) -> None:
    enter(row(acme, cost_usd=Decimal("4.00")), row(acme, cost_usd=Decimal("4.50")))
    budget(acme, "May", "10")
    text = html(olga, OWN)
    facts = dict(re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", text, re.DOTALL))
    plain = {name: re.sub(r"<[^>]+>", "", value).strip() for name, value in facts.items()}
    assert plain["Spent"] == "$8.50"
    assert plain["Reserved"] == "$0"
    assert plain["Remaining"] == "$1.50"
    assert plain["Resets"] == "1 Jun 2026"
    assert 'aria-label="Spent: 85.0% of the limit"' in text
    assert re.findall(r"<text [^>]*>([^<]*)</text>", text) == ["50%", "80%", "100%"]


def test_budgets_stand_in_the_order_of_how_near_they_are(olga: Client, acme: Organization) -> None:
    enter(row(acme, cost_usd=Decimal("4.00")))
    budget(acme, "Wide", "1000")
    budget(acme, "Tight", "5")
    budget(acme, "Over", "3")
    assert re.findall(r"<h3 [^>]*><a [^>]*>(\w+)</a>", html(olga, OWN)) == ["Over", "Tight", "Wide"]
    assert html(olga, OWN).count("used up") == 1


def test_inactive_budgets_are_folded(olga: Client, acme: Organization) -> None:
    budget(acme, "Asleep", is_active=False)
    text = html(olga, OWN)
    assert "No budgets yet" in text
    assert text.index("1 inactive budget") < text.index("Asleep")


@pytest.mark.parametrize(
    ("fields", "calls"),
    [
        ({}, 6),
        ({"agent_id": "scout"}, 1),
        ({"request_type": "digest"}, 1),
        ({"ai_provider": "anthropic"}, 1),
        ({"ai_model": "gpt-9"}, 2),
        ({"tag_key": "team", "tag_value": "web"}, 1),
        ({"unit": "calls", "limit": "100"}, 5),
        ({"unit": "rub"}, 6),
        ({"unit": "tokens", "limit": "100"}, 6),
        ({"window": "day"}, 5),
        ({"window": "total", "starts_on": NOON.date() - timedelta(days=30)}, 7),
    ],
)
def test_what_is_spent_leads_to_exactly_its_calls(
    olga: Client, acme: Organization, fields: dict[str, Any], calls: int
) -> None:
    enter(
        row(acme, agent_id="scout"),
        row(acme, request_type="digest", tags={"team": "web"}),
        row(acme, ai_provider="anthropic", ai_model="gpt-9-2026-01-01"),
        row(acme, ai_model="gpt-9", created_at=NOON - timedelta(days=2)),
        row(acme, status="refused", cost_usd=Decimal(0), cost_rub=Decimal(0), prompt_tokens=0, completion_tokens=0),
        row(acme),
        row(acme, created_at=NOON - timedelta(days=29), ai_model="gpt-9"),
    )
    made = budget(acme, **{"limit": "1000", **fields})
    text = html(olga, OWN)
    (link,) = re.findall(r"<dt>Spent</dt><dd><a href=\"([^\"]+)\"", text)
    shown = olga.get(link).context
    assert shown["total"]["requests_count"] == calls
    measure = {"usd": "cost_usd", "rub": "cost_rub", "tokens": "total_tokens", "calls": "requests_count"}[made.unit]
    (spent,) = re.findall(r'<dt>Spent</dt><dd><a [^>]*><span class="costs-amount" title="([^"]*)"', text)
    assert Decimal(re.sub(r"[$₽,]", "", spent)) == shown["total"][measure]


def test_member_sees_figures_of_their_own_budget_alone(misha: Client, acme: Organization) -> None:
    person = User.objects.get(username="misha")
    other = User.objects.create_user("irina")
    Membership.objects.create(org=acme, user=other, role="member")
    enter(row(acme, user_id=person.pk, cost_usd=Decimal("1.25")), row(acme, cost_usd=Decimal("77.77")))
    budget(acme, "All", "80")
    budget(acme, "Mine", "5", user=person)
    budget(acme, "Irinas", "5", user=other)
    budget(acme, "Over", "70", agent_id="legal_guard")
    text = html(misha, OWN)
    assert ("All" in text, "Mine" in text, "Irinas" in text) == (True, True, False)
    assert text.count("<dt>Spent</dt>") == 1
    assert "$1.25" in text
    for figure in ("77.77", "79.02", "$0.98", "98.8%"):
        assert figure not in text
    assert "used up" in text  # the one of the agent
    assert text.count("Ask for more") == 3
    page = html(misha, f"{OWN}/{Budget.objects.get(name='All').pk}")
    assert "79.02" not in page
    assert "History of changes" not in page


def test_superadmin_sees_the_organisations_nearest_to_their_limit(
    superadmin: Client, acme: Organization, globex: Organization
) -> None:
    enter(row(acme, cost_usd=Decimal("4")), row(globex, cost_usd=Decimal("9")))
    budget(acme, "A", "10")
    budget(acme, "A2", "100")
    budget(globex, "G", "10")
    text = html(superadmin, SUPERADMIN)
    table = text[text.index("<table") : text.index("</table>")]
    assert re.findall(r'<th scope="row" class="name"><a [^>]*>(\w+)</a>', table) == ["Globex", "Acme"]
    narrowed = html(superadmin, f"{SUPERADMIN}?org={acme.pk}")
    assert (">G</a>" in narrowed, ">A2</a>" in narrowed, "Organisations nearest" in narrowed) == (False, True, False)


def test_list_asks_as_many_questions_for_more_budgets(
    olga: Client, acme: Organization, django_assert_max_num_queries: Any
) -> None:
    for number in range(12):
        budget(acme, f"Budget {number}", "10", agent_id=f"agent-{number}")
    with django_assert_max_num_queries(20):
        html(olga, OWN)


def test_superadmin_is_led_to_their_own_page(superadmin: Client, acme: Organization) -> None:
    made = budget(acme)
    answer = superadmin.get(f"{OWN}/{made.pk}?x=1")
    assert (answer.status_code, answer["Location"]) == (302, f"{SUPERADMIN}/{made.pk}?x=1")


def test_superadmins_pages_are_closed_to_owners(olga: Client) -> None:
    assert olga.get(SUPERADMIN).status_code == 403


@pytest.mark.parametrize("page", ["budgets", "budgets/new", "alerts"])
def test_number_that_no_organisation_has_is_no_error(olga: Client, page: str) -> None:
    assert olga.get(f"/usage/{page}", {"org": "9" * 5000}).status_code == 200


def test_budget_of_another_organisation_is_not_there(olga: Client, globex: Organization) -> None:
    made = budget(globex, "Secret")
    for address in (f"{OWN}/{made.pk}", f"{OWN}/{made.pk}/edit", f"{OWN}/{made.pk}/delete", f"{OWN}/{made.pk}/ask"):
        assert "Secret" not in html(olga, address, 404)
        assert olga.post(address, form()).status_code == 404
    assert "Secret" not in html(olga, f"{OWN}?org={globex.pk}")
    assert Budget.objects.filter(name="Secret").exists()


# ── Setting and changing ─────────────────────────────────────────────────────────────────────────────────────────


def test_owner_sets_a_budget(olga: Client, acme: Organization) -> None:
    answer = olga.post(f"{OWN}/new", form(org=acme.pk))
    made = Budget.objects.get()
    assert (answer.status_code, answer["Location"]) == (302, f"{OWN}/{made.pk}")
    assert (made.name, made.limit, made.unit, made.window, made.mode) == ("November", 100, "usd", "month", "stop")
    assert (made.thresholds, made.is_superadmins, made.starts_on) == ([50, 80, 100], False, NOON.date())
    assert notices(olga, answer["Location"]) == ["The budget “November” is set."]
    assert BudgetChange.objects.get().by == "olga"


def test_superadmin_sets_a_budget_that_owners_cannot_change(
    superadmin: Client, olga: Client, acme: Organization
) -> None:
    superadmin.post(f"{SUPERADMIN}/new", form(org=acme.pk))
    made = Budget.objects.get()
    assert made.is_superadmins
    text = html(olga, f"{OWN}/{made.pk}")
    assert "set by a superadmin" in text
    assert f"{OWN}/{made.pk}/edit" not in text
    assert f"{OWN}/{made.pk}/ask" in text
    assert olga.post(f"{OWN}/{made.pk}/edit", form(limit="9000")).status_code == 403
    assert olga.post(f"{OWN}/{made.pk}/delete").status_code == 403
    made.refresh_from_db()
    assert made.limit == 100


def test_member_sets_no_budget(misha: Client, acme: Organization) -> None:
    made = budget(acme)
    assert misha.post(f"{OWN}/new", form(org=acme.pk)).status_code == 403
    assert misha.post(f"{OWN}/{made.pk}/edit", form()).status_code == 403
    assert misha.post(f"{OWN}/{made.pk}/delete").status_code == 403
    assert Budget.objects.get().limit == 10


def test_owner_sets_none_for_another_organisation(olga: Client, globex: Organization) -> None:
    text = unescape(olga.post(f"{OWN}/new", form(org=globex.pk)).content.decode())
    assert "Select a valid choice" in text
    assert not Budget.objects.exists()


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"name": ""}, "This field is required."),
        ({"limit": "0"}, "Write an amount above zero."),
        ({"limit": "many"}, "Enter a number."),
        ({"unit": "calls", "limit": "1.5"}, "Tokens and calls are whole numbers."),
        ({"mode": "downgrade"}, "Name the model that is used from then on."),
        ({"mode": "downgrade", "replacement": "gpt"}, "Write provider and model of the cheaper model"),
        ({"tag_key": "team"}, "A tag has a key and a value: give both, or none."),
        ({"user": "nobody"}, "This user is no member of the organisation"),
        ({"user": "stranger"}, "This user is no member of the organisation"),
        ({"thresholds": "half"}, "Write whole per cents"),
        ({"name": "Taken"}, "The organisation has a budget of this name already."),
    ],
)
def test_what_cannot_be_set_is_said_beside_its_field(
    olga: Client, acme: Organization, fields: dict[str, str], said: str
) -> None:
    budget(acme, "Taken")
    User.objects.create_user("stranger")
    text = unescape(olga.post(f"{OWN}/new", form(org=acme.pk, **fields)).content.decode())
    assert said in text
    assert "Something is not right yet" in text
    assert Budget.objects.count() == 1


def test_typed_fields_are_kept(olga: Client, misha: Client, acme: Organization) -> None:
    given = {"user": "misha", "agent_id": "scout", "tag_key": "team", "tag_value": "web", "limit": "1,500.50"}
    olga.post(f"{OWN}/new", form(org=acme.pk, **given))
    made = Budget.objects.get()
    assert (made.user_id, made.agent_id) == (User.objects.get(username="misha").pk, "scout")
    assert (made.tag_key, made.tag_value, made.limit) == ("team", "web", Decimal("1500.50"))
    text = html(olga, f"{OWN}/{made.pk}/edit")
    for value in ("misha", "scout", "team", "web", "1500.5", "50, 80, 100"):
        assert f'value="{value}"' in text


def test_form_suggests_what_was_used(olga: Client, acme: Organization, globex: Organization) -> None:
    enter(row(acme, agent_id="scout", tags={"team": "web"}), row(globex, agent_id="secret_agent"))
    text = html(olga, f"{OWN}/new")
    for value in ("scout", "custom_analysis", "gpt-5-mini", "openai", "olga", "team", "web", "openai:gpt-5-mini"):
        assert f'<option value="{value}"></option>' in text
    assert "secret_agent" not in text


def test_changes_stand_in_the_history(olga: Client, acme: Organization) -> None:
    olga.post(f"{OWN}/new", form(org=acme.pk))
    made = Budget.objects.get()
    olga.post(f"{OWN}/{made.pk}/edit", form(limit="250", thresholds="90"))
    made.refresh_from_db()
    assert (made.limit, made.thresholds) == (250, [90])
    text = html(olga, f"{OWN}/{made.pk}")
    assert "Limit: <s>$100.00</s> → <b>$250.00</b>" in text
    assert "Thresholds: <s>50, 80, 100</s> → <b>90</b>" in text


def test_limits_of_the_history_have_the_unit_of_their_time(olga: Client, acme: Organization) -> None:
    olga.post(f"{OWN}/new", form(org=acme.pk))
    made = Budget.objects.get()
    olga.post(f"{OWN}/{made.pk}/edit", form(limit="500", unit="calls"))
    text = html(olga, f"{OWN}/{made.pk}")
    assert "Limit: <s>$100.00</s> → <b>500 calls</b>" in text
    assert "Limit: <b>$100.00</b>" in text


def test_deleting_is_asked_once_more(olga: Client, acme: Organization) -> None:
    made = budget(acme)
    assert "Delete the budget “May”?" in html(olga, f"{OWN}/{made.pk}/delete")
    assert Budget.objects.exists()
    answer = olga.post(f"{OWN}/{made.pk}/delete")
    assert (answer.status_code, answer["Location"], Budget.objects.exists()) == (302, OWN, False)
    assert notices(olga, OWN) == ["The budget “May” is deleted."]


def test_forms_need_the_token(acme: Organization, olga: Client) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(User.objects.get(username="olga"))
    made = budget(acme)
    for address in (f"{OWN}/new", f"{OWN}/{made.pk}/edit", f"{OWN}/{made.pk}/delete"):
        assert client.post(address, form(org=acme.pk)).status_code == 403
    assert Budget.objects.count() == 1


# ── Requests ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_member_asks_and_owner_grants_what_they_think_right(misha: Client, olga: Client, acme: Organization) -> None:
    made = budget(acme)
    answer = misha.post(f"{OWN}/{made.pk}/ask", {"limit": "50", "reason": "A report for partners"})
    assert answer["Location"] == f"{OWN}/{made.pk}"
    assert "You asked for $50.00" in html(misha, OWN)
    asked = BudgetRequest.objects.get()
    text = html(olga, OWN)
    assert "misha</b> asks for $50.00 instead of $10.00" in text
    assert "A report for partners" in text
    olga.post(f"{OWN}/requests/{asked.pk}", {"answer": "grant", "limit": "30"})
    made.refresh_from_db()
    asked.refresh_from_db()
    assert (made.limit, asked.state, asked.answered_by) == (30, "granted", "olga")
    assert "Requests that wait" not in html(olga, OWN)
    assert "At the request of: <b>misha</b>" in html(olga, f"{OWN}/{made.pk}")


def test_owner_refuses(misha: Client, olga: Client, acme: Organization) -> None:
    made = budget(acme)
    misha.post(f"{OWN}/{made.pk}/ask", {"limit": "50"})
    asked = BudgetRequest.objects.get()
    answer = olga.post(f"{OWN}/requests/{asked.pk}", {"answer": "refuse"})
    assert notices(olga, answer["Location"]) == ["The request is refused."]
    made.refresh_from_db()
    asked.refresh_from_db()
    assert (made.limit, asked.state) == (10, "refused")
    assert "refused" in html(misha, f"{OWN}/{made.pk}")


def test_owner_may_only_refuse_more_of_a_superadmins_budget(
    misha: Client, olga: Client, superadmin: Client, acme: Organization
) -> None:
    made = budget(acme, is_superadmins=True)
    misha.post(f"{OWN}/{made.pk}/ask", {"limit": "50"})
    asked = BudgetRequest.objects.get()
    assert "only a superadmin can grant more" in html(olga, OWN)
    olga.post(f"{OWN}/requests/{asked.pk}", {"answer": "grant", "limit": "50"})
    made.refresh_from_db()
    assert made.limit == 10
    superadmin.post(f"{SUPERADMIN}/requests/{asked.pk}", {"answer": "grant", "limit": "50"})
    made.refresh_from_db()
    assert made.limit == 50


@pytest.mark.parametrize("limit", ["10", "5", "", "x"])
def test_one_asks_for_more_than_there_is(misha: Client, acme: Organization, limit: str) -> None:
    made = budget(acme)
    assert misha.post(f"{OWN}/{made.pk}/ask", {"limit": limit}).status_code == 200
    assert not BudgetRequest.objects.exists()


def test_member_answers_no_request(misha: Client, acme: Organization) -> None:
    made = budget(acme)
    misha.post(f"{OWN}/{made.pk}/ask", {"limit": "50"})
    asked = BudgetRequest.objects.get()
    assert misha.post(f"{OWN}/requests/{asked.pk}", {"answer": "grant", "limit": "50"}).status_code == 404
    made.refresh_from_db()
    assert made.limit == 10


# ── The overview ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_overview_has_the_bars_nearest_to_the_limit_and_what_needs_action(
    misha: Client, olga: Client, acme: Organization
) -> None:
    enter(row(acme, cost_usd=Decimal("4")))
    for number in range(6):
        budget(acme, f"Wide {number}", str(100 + number))
    over = budget(acme, "Over", "3")
    misha.post(f"{OWN}/{over.pk}/ask", {"limit": "50"})
    text = html(olga, "/usage/")
    assert text.count('class="budget-bar') == 5
    assert f'<a href="{OWN}">All 7 budgets →</a>' in text
    action = text[text.index('id="action"') : text.index('id="budgets"')]
    assert "“Over” is used up" in action
    assert "1 request for a higher limit" in action
    assert f'href="{OWN}/{over.pk}"' in action


def test_narrowed_overview_shows_no_budgets(olga: Client, acme: Organization) -> None:
    enter(row(acme))
    budget(acme)
    assert 'class="budget-bar' in html(olga, f"/usage/?org={acme.pk}")
    assert 'class="budget-bar' not in html(olga, "/usage/?agent_id=legal_guard")


# ── A call that a budget stopped ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("person", "is_told"), [("olga", True), ("misha", False)])
def test_call_says_which_budget_stopped_it(
    request: pytest.FixtureRequest, olga: Client, misha: Client, acme: Organization, person: str, is_told: bool
) -> None:
    made = budget(acme, "All")
    told = {"id": made.pk, "name": "All", "spent": "9.87", "limit": "10", "unit": "usd"}
    enter(
        row(
            acme,
            user_id=User.objects.get(username="misha").pk,
            status="refused",
            error_code="budget_exceeded",
            cost_usd=Decimal(0),
            cost_rub=Decimal(0),
            price_source="not-charged:refused",
            response_metadata={"budget": told},
        )
    )
    client = request.getfixturevalue(person)
    listed = html(client, "/usage/calls")
    assert '<span class="status refused">stopped by a budget</span>' in listed
    (link,) = set(re.findall(r'href="(/usage/calls/\d+)"', listed))
    text = html(client, link)
    assert "Stopped by the budget “All”</a>" in text
    assert f'href="{OWN}/{made.pk}"' in text
    assert "a budget stopped the call before it was sent" in text
    assert ("$9.87" in text) is is_told
