"""The scope of each kind of user."""

from datetime import UTC, date, datetime

import pytest
from django.contrib.auth.models import AnonymousUser

from tests.support import factories
from usage_billing.models import Membership
from usage_billing.tenancy.scope import NOTHING, Scope, scope_of

pytestmark = pytest.mark.django_db


def test_scope_of_a_superadmin_is_everything() -> None:
    admin = factories.superadmin()
    assert scope_of(admin) == Scope(everything=True, user_id=admin.pk)


def test_scope_of_an_owner_and_member_is_their_organisations_and_their_own_calls() -> None:
    owned, joined = factories.organization(), factories.organization()
    factories.organization()
    person = factories.owner(owned)
    Membership.objects.create(org=joined, user=person, role=Membership.Role.MEMBER)
    assert scope_of(person) == Scope(
        owned_org_ids=frozenset({owned.pk}),
        member_org_ids=frozenset({joined.pk}),
        user_id=person.pk,
        zone="Europe/Moscow",
    )


def test_scope_of_everyone_else_is_nothing() -> None:
    inactive = factories.superadmin()
    inactive.is_active = False
    staff = factories.user(is_staff=True)
    assert [scope_of(person) for person in (AnonymousUser(), inactive)] == [NOTHING, NOTHING]
    assert scope_of(staff).is_empty
    assert NOTHING.is_empty


def test_scope_ends_with_the_membership() -> None:
    person = factories.owner(factories.organization())
    assert not scope_of(person).is_empty
    Membership.objects.all().delete()
    assert scope_of(person).is_empty


def test_today_is_in_the_organisations_zone_if_they_share_one() -> None:
    vladivostok = factories.organization(timezone="Asia/Vladivostok")
    person = factories.member(vladivostok)
    evening = datetime(2026, 11, 18, 18, 0, tzinfo=UTC)
    assert scope_of(person).today(evening) == date(2026, 11, 19)
    Membership.objects.create(org=factories.organization(), user=person, role="member")
    assert scope_of(person).today(evening) == date(2026, 11, 18)
    assert scope_of(factories.superadmin()).today(evening) == date(2026, 11, 18)
