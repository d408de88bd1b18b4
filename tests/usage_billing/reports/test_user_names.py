"""Names of users, of deleted ones too."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User

from tests.support import factories
from tests.support.rows import enter, row
from usage_billing import reports
from usage_billing.models import DeletedUser
from usage_billing.tenancy.scope import scoped

pytestmark = pytest.mark.django_db


def test_name_of_a_deleted_user_stays_in_each_organisation_with_calls() -> None:
    one, two, three = factories.organization(), factories.organization(), factories.organization()
    gone = factories.member(one)
    key, name = gone.pk, gone.username
    enter(row(one, user_id=key), row(two, user_id=key), row(three))
    gone.delete()
    assert reports.user_names([key, None, 0, 10**9]) == {key: name}
    assert {(kept.org_id, kept.name) for kept in DeletedUser.objects.all()} == {(one.pk, name), (two.pk, name)}


def test_name_of_a_user_without_calls_goes() -> None:
    gone = factories.member(factories.organization())
    gone.delete()
    assert not DeletedUser.objects.exists()


def test_names_take_a_second_query_only_for_a_deleted_user(django_assert_num_queries: Any) -> None:
    org = factories.organization()
    here, gone = factories.member(org), User.objects.create_user("gone")
    enter(row(org, user_id=gone.pk))
    key = gone.pk
    gone.delete()
    with django_assert_num_queries(1):
        reports.user_names([here.pk])
    with django_assert_num_queries(2):
        reports.user_names([here.pk, key])


@pytest.mark.postgres
def test_name_of_a_deleted_user_is_hidden_from_other_tenants() -> None:
    org, other = factories.organization(), factories.organization()
    owner, stranger, gone = factories.owner(org), factories.owner(other), factories.member(org)
    key, name = gone.pk, gone.username
    enter(row(org, user_id=key))
    gone.delete()
    with scoped(stranger):
        assert reports.user_names([key]) == {}
    with scoped(owner):
        assert reports.user_names([key]) == {key: name}
