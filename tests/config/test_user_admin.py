"""Users in the service's admin: organisations with roles, last call, cost of the last 30 days."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from tests.support import factories
from tests.support.rows import enter, row
from usage_billing.models import Membership, Organization

USERS = "admin:auth_user"

pytestmark = pytest.mark.django_db


@pytest.fixture
def superadmin(client: Client, settings: Any) -> Client:
    settings.LANGUAGE_CODE = "en"
    client.force_login(factories.superadmin("root"))
    return client


@pytest.fixture
def acme() -> Organization:
    return factories.organization("Acme", timezone="UTC")


def call(org: Organization, user: User | None, days_ago: int = 0, **columns: Any) -> dict[str, Any]:
    at = timezone.now() - timedelta(days=days_ago)
    return row(org, user_id=user and user.pk, created_at=at, usage_date=at.date(), **columns)


def listed(client: Client, **query: Any) -> dict[str, Any]:
    response = client.get(reverse(f"{USERS}_changelist"), query)
    return {user.username: user.usage for user in response.context["cl"].result_list}


def test_list_shows_organisations_last_call_and_cost(superadmin: Client, acme: Organization) -> None:
    olga, mark = factories.owner(acme, "olga"), factories.member(acme, "mark")
    globex = factories.organization("Globex")
    Membership.objects.create(org=globex, user=olga, role="member")
    enter(
        call(acme, olga, 1),
        call(globex, olga, 2, cost_usd=None, cost_rub=None, price_source="unpriced:unknown-model"),
        call(acme, olga, 50),
        call(acme, None),
    )
    response = superadmin.get(reverse(f"{USERS}_changelist"))
    text = response.content.decode()
    usage = listed(superadmin)
    assert [(each.org.name, each.role) for each in usage["olga"].memberships] == [
        ("Acme", "owner"),
        ("Globex", "member"),
    ]
    assert (timezone.now() - usage["olga"].last_call_at).days == 1
    assert (usage["olga"].cost["requests_count"], usage["olga"].cost["unpriced_usd_count"]) == (2, 1)
    assert (usage["mark"].last_call_at, usage["mark"].cost["requests_count"]) == (None, 0)
    organisation = reverse("admin:usage_billing_organization_change", args=[acme.pk])
    assert f'<a href="{organisation}">Acme</a> (owner)' in text
    calls = f"{reverse('usage_billing:usage-calls')}?user={olga.pk}&amp;days=30"
    assert f'<a href="{calls}"><span class="costs-amount" title="$0.5">$0.50</span></a> · ' in text
    assert f'<a href="{calls}&amp;unpriced=usd">unpriced: 1</a>' in text
    for address, count in ((calls, 2), (f"{calls}&unpriced=usd", 1)):
        shown = superadmin.get(address.replace("&amp;", "&"), follow=True).context
        assert (shown["page"].name, shown["total"]["requests_count"]) == ("calls", count)
    assert mark.username in text


def test_list_can_be_narrowed_to_an_organisation(superadmin: Client, acme: Organization) -> None:
    factories.owner(acme, "olga")
    factories.owner(factories.organization("Globex"), "gina")
    assert {*listed(superadmin)} == {"root", "olga", "gina"}
    assert {*listed(superadmin, usage_memberships__org__id__exact=acme.pk)} == {"olga"}


def test_list_asks_as_many_questions_for_more_users(
    superadmin: Client, acme: Organization, django_assert_num_queries: Any
) -> None:
    def queries() -> int:
        from django.db import connection
        from django.test.utils import CaptureQueriesContext

        with CaptureQueriesContext(connection) as captured:
            superadmin.get(reverse(f"{USERS}_changelist"))
        return len(captured)

    enter(call(acme, factories.member(acme)))
    few = queries()
    enter(*(call(acme, factories.member(acme), day) for day in range(20)))
    assert queries() == few


def test_page_of_a_user_has_their_organisations_and_costs(superadmin: Client, acme: Organization) -> None:
    olga = factories.owner(acme, "olga")
    enter(call(acme, olga))
    text = superadmin.get(reverse(f"{USERS}_change", args=[olga.pk])).content.decode()
    assert "Organisations and roles" in text
    assert f'href="{reverse("usage_billing:usage-calls")}?user={olga.pk}&amp;days=30"' in text
    assert "Organisations and roles" not in superadmin.get(reverse(f"{USERS}_add")).content.decode()


def test_role_is_given_on_the_page_of_the_user(superadmin: Client, acme: Organization) -> None:
    olga = factories.user("olga")
    form = {
        "username": "olga",
        "is_active": "on",
        "date_joined_0": "2026-05-01",
        "date_joined_1": "10:00",
        "usage_memberships-TOTAL_FORMS": 1,
        "usage_memberships-INITIAL_FORMS": 0,
        "usage_memberships-0-org": acme.pk,
        "usage_memberships-0-role": "owner",
    }
    assert superadmin.post(reverse(f"{USERS}_change", args=[olga.pk]), form).status_code == 302
    assert list(Membership.objects.values_list("user", "org", "role")) == [(olga.pk, acme.pk, "owner")]


@pytest.mark.parametrize("role", ["owner", "member"])
def test_users_are_for_superadmins(client: Client, acme: Organization, role: str) -> None:
    person = factories.user("staff", is_staff=True)
    person.user_permissions.set(Permission.objects.all())
    Membership.objects.create(org=acme, user=person, role=role)
    client.force_login(person)
    for address in (reverse(f"{USERS}_changelist"), reverse(f"{USERS}_change", args=[person.pk])):
        assert client.get(address).status_code == 403
