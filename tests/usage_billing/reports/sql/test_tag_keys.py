"""Keys of tags by how many calls have them."""

from __future__ import annotations

from datetime import date

import pytest

from tests.support import factories
from tests.support.rows import enter, row
from usage_billing import reports
from usage_billing.models import Organization
from usage_billing.reports import Excluded
from usage_billing.reports.sql import tag_keys
from usage_billing.tenancy.scope import EVERYTHING, NOTHING, Scope, of_organization

pytestmark = pytest.mark.django_db


@pytest.fixture
def acme() -> Organization:
    return factories.organization("Acme")


@pytest.fixture
def globex() -> Organization:
    return factories.organization("Globex")


def test_keys_of_most_calls_come_first_and_equal_ones_by_name(acme: Organization) -> None:
    enter(
        row(acme, tags={"zone": "a", "beta": "x"}),
        row(acme, tags={"zone": "b", "alpha": "x"}),
        row(acme, tags={"zone": "a"}),
    )
    assert reports.tag_keys_by_use(EVERYTHING, {}, 9) == ["zone", "alpha", "beta"]
    assert reports.tag_keys_by_use(EVERYTHING, {}, 2) == ["zone", "alpha"]


def test_keys_are_those_of_the_scope_and_of_the_chosen_organisations(acme: Organization, globex: Organization) -> None:
    enter(row(acme, tags={"feature": "chat"}), row(globex, tags={"secret": "x"}), row(globex, tags={"secret": "y"}))
    assert reports.tag_keys_by_use(EVERYTHING, {}, 9) == ["secret", "feature"]
    assert reports.tag_keys_by_use(EVERYTHING, {"org_id": {acme.pk}}, 9) == ["feature"]
    assert reports.tag_keys_by_use(EVERYTHING, {"org_id": Excluded(frozenset({acme.pk}))}, 9) == ["secret"]
    assert reports.tag_keys_by_use(of_organization(acme.pk), {}, 9) == ["feature"]
    assert reports.tag_keys_by_use(of_organization(acme.pk), {"org_id": {globex.pk}}, 9) == []
    assert reports.tag_keys_by_use(NOTHING, {}, 9) == []


def test_members_have_the_keys_of_their_own_calls(acme: Organization, globex: Organization) -> None:
    anna = factories.member(acme)
    enter(
        row(acme, user_id=anna.pk, tags={"mine": "1"}),
        row(acme, tags={"theirs": "1"}),
        row(globex, user_id=anna.pk, tags={"left": "1"}),
    )
    scope = Scope(member_org_ids=frozenset({acme.pk}), user_id=anna.pk)
    assert reports.tag_keys_by_use(scope, {}, 9) == ["mine"]
    both = Scope(owned_org_ids=frozenset({globex.pk}), member_org_ids=frozenset({acme.pk}), user_id=anna.pk)
    assert reports.tag_keys_by_use(both, {}, 9) == ["left", "mine"]


def test_the_newest_days_are_read_first(acme: Organization, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tag_keys, "ROWS_READ", 1)
    enter(
        row(acme, tags={"new": "1"}),
        row(acme, tags={"old": "1"}, usage_date=date(2026, 1, 1)),
        row(acme, tags={"old": "1"}, usage_date=date(2026, 1, 1)),
    )
    assert reports.tag_keys_by_use(EVERYTHING, {}, 9) == ["new"]
