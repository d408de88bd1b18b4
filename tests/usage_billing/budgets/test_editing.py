"""Who sets, changes and deletes budgets, what is refused, and what the history keeps."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone, translation

from tests.support import budgets, factories
from tests.support.rows import enter, row
from usage_billing.budgets import editing, published
from usage_billing.budgets.access import NotAllowedError
from usage_billing.models import Budget, BudgetChange, Organization, TagValue, tag_value
from usage_billing.tenancy.scope import EVERYTHING, Scope, of_organization

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 5, 31, 22, tzinfo=UTC)  # the first of June in Moscow


@pytest.fixture
def org() -> Organization:
    return factories.organization("Acme")


def create(org: Organization, scope: Scope | None = None, **values: Any) -> Budget:
    given = {"name": "November", "limit": Decimal(100)} | values
    return editing.create(scope=scope or of_organization(org.pk), by="anna", org=org, values=given, now=NOW)


def changes(budget_id: int) -> list[tuple[str, Any]]:
    rows = BudgetChange.objects.filter(budget=budget_id).order_by("id")
    return [(change.by, change.fields) for change in rows]


def refused(org: Organization, **values: Any) -> dict[str, list[str]]:
    with translation.override("en"):
        with pytest.raises(ValidationError) as error:
            create(org, **values)
        found = error.value.message_dict
    assert not Budget.objects.exists()
    assert not BudgetChange.objects.exists()
    return found


def test_a_budget_begins_on_the_organisations_day_with_a_line_in_its_history(org: Organization) -> None:
    budget = create(org, name=" November ", mode="stop")
    budget.refresh_from_db()
    assert (budget.name, budget.starts_on, budget.is_superadmins) == ("November", date(2026, 6, 1), False)
    assert changes(budget.pk) == [
        (
            "anna",
            {
                "name": ["", "November"],
                "window": ["", "month"],
                "starts_on": ["", "2026-06-01"],
                "limit": ["", "100"],
                "unit": ["", "usd"],
                "mode": ["", "stop"],
                "thresholds": ["", "50, 80, 100"],
                "when_unavailable": ["", "open"],
                "is_active": ["", "true"],
            },
        )
    ]


def test_a_change_logs_what_is_different(org: Organization) -> None:
    person = factories.member(org, "boris")
    budget = create(org, thresholds=[50])
    values = {"limit": "250.50", "user_id": person.pk, "thresholds": [], "is_active": False, "name": "November"}
    changed = editing.change(budget, scope=of_organization(org.pk), by="olga", values=values, note={"because": "x"})
    assert (changed.limit, budget.limit) == (Decimal("250.5"), Decimal(100))
    assert changes(budget.pk)[1:] == [
        (
            "olga",
            {
                "limit": ["100", "250.5"],
                "user": ["", "boris"],
                "thresholds": ["50", ""],
                "is_active": ["true", "false"],
                "because": ["", "x"],
            },
        )
    ]
    editing.change(changed, scope=of_organization(org.pk), by="olga", values={"limit": Decimal("250.50")})
    assert len(changes(budget.pk)) == 2


def test_another_mode_removes_the_cheaper_model(org: Organization) -> None:
    budget = create(org, mode="downgrade", replacement="openai:gpt-6-luna")
    changed = editing.change(budget, scope=of_organization(org.pk), by="anna", values={"mode": "stop"})
    assert changed.replacement == ""
    assert changes(budget.pk)[1][1] == {"mode": ["downgrade", "stop"], "replacement": ["openai:gpt-6-luna", ""]}


def test_the_history_outlives_its_budget(org: Organization) -> None:
    budget = create(org)
    editing.delete(budget, scope=of_organization(org.pk), by="olga")
    assert not Budget.objects.exists()
    change = BudgetChange.objects.latest("id")
    assert (change.by, change.budget_name, change.budget_id) == ("olga", "November", budget.pk)
    assert change.fields["limit"] == ["100", ""]
    with pytest.raises(ValidationError, match="somebody else"), translation.override("en"):
        editing.change(budget, scope=of_organization(org.pk), by="anna", values={"limit": 7})


def test_a_superadmins_budget_is_changed_by_superadmins_alone(org: Organization) -> None:
    budget = create(org, EVERYTHING)
    assert budget.is_superadmins
    owner = of_organization(org.pk)
    for act in (
        lambda: editing.change(budget, scope=owner, by="olga", values={"limit": 1}),
        lambda: editing.delete(budget, scope=owner, by="olga"),
    ):
        with pytest.raises(NotAllowedError) as error:
            act()
        assert error.value.code == "set_by_superadmin"
    changed = editing.change(budget, scope=EVERYTHING, by="root", values={"limit": 7})
    assert (changed.limit, changed.is_superadmins) == (Decimal(7), True)


def test_a_superadmin_who_changes_an_owners_budget_leaves_it_the_owners(org: Organization) -> None:
    changed = editing.change(create(org), scope=EVERYTHING, by="root", values={"limit": 7})
    assert not changed.is_superadmins


def test_members_and_strangers_set_and_change_nothing(org: Organization) -> None:
    budget = budgets.budget(org)
    member = Scope(member_org_ids=frozenset([org.pk]), user_id=1)
    stranger = of_organization(factories.organization().pk)
    for scope in (member, stranger):
        for act in (
            lambda scope=scope: create(org, scope),
            lambda scope=scope: editing.change(budget, scope=scope, by="x", values={"limit": 1}),
            lambda scope=scope: editing.delete(budget, scope=scope, by="x"),
        ):
            with pytest.raises(NotAllowedError) as error:
                act()
            assert error.value.code == "not_an_owner"
    assert [each.limit for each in Budget.objects.all()] == [Decimal(100)]


@pytest.mark.parametrize(
    ("values", "field", "text"),
    [
        ({"limit": Decimal(0)}, "limit", "above zero"),
        ({"limit": Decimal(-5)}, "limit", "above zero"),
        ({"limit": "many"}, "limit", "must be a decimal number"),
        ({"limit": Decimal("1.5"), "unit": "calls"}, "limit", "whole numbers"),
        ({"name": "  "}, "name", "cannot be blank"),
        ({"window": "year"}, "window", "not a valid choice"),
        ({"unit": "eur"}, "unit", "not a valid choice"),
        ({"mode": "ask"}, "mode", "not a valid choice"),
        ({"when_unavailable": "maybe"}, "when_unavailable", "not a valid choice"),
        ({"thresholds": [80, 50]}, "thresholds", "rising order"),
        ({"thresholds": [0]}, "thresholds", "rising order"),
        ({"thresholds": None}, "thresholds", "rising order"),
        ({"thresholds": ""}, "thresholds", "rising order"),
        ({"thresholds": ["50"]}, "thresholds", "rising order"),
        ({"replacement": "openai:gpt-6-luna"}, "replacement", "Only a budget that uses a cheaper model"),
        ({"mode": "downgrade"}, "replacement", "openai:gpt-6-luna"),
        ({"mode": "downgrade", "replacement": "gpt-6-luna"}, "replacement", "openai:gpt-6-luna"),
        ({"mode": "downgrade", "replacement": "openai: "}, "replacement", "openai:gpt-6-luna"),
        ({"mode": "downgrade", "replacement": "azure:gpt-6-luna"}, "replacement", "openai:gpt-6-luna"),
        ({"user_id": 10**6}, "user", "no member"),
        ({"tag_key": "feature"}, "tag", "a key and a value"),
        ({"tag_value": "search"}, "tag", "a key and a value"),
        ({"tag_key": "fea ture", "tag_value": "search"}, "tag", "No call can have this tag"),
        ({"tag_key": "feature", "tag_value": "…other"}, "tag", "No call can have this tag"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_by_field(org: Organization, values: dict[str, Any], field: str, text: str) -> None:
    found = refused(org, **values)
    assert [*found] == [field]
    assert text in found[field][0]


def test_several_problems_are_told_at_once(org: Organization) -> None:
    assert [*refused(org, name="", limit=0, user_id=10**6)] == ["name", "limit", "user"]


def test_names_are_unique_in_the_organisation(org: Organization) -> None:
    budget = create(org)
    create(factories.organization())
    with pytest.raises(ValidationError) as error:
        create(org, name="November ")
    assert [*error.value.message_dict] == ["name"]
    editing.change(budget, scope=EVERYTHING, by="anna", values={"name": "November", "limit": 5})


def test_a_closed_organisation_gets_no_budget(org: Organization) -> None:
    org.closed_at = timezone.now()
    org.save()
    assert [*refused(org)] == ["org"]


def test_a_user_is_a_member_or_has_calls(org: Organization) -> None:
    gone, stranger = factories.user(), factories.owner(factories.organization())
    enter(row(org, user_id=gone.pk))
    assert create(org, user_id=gone.pk, name="of one who left").user_id == gone.pk
    with pytest.raises(ValidationError):
        create(org, user_id=stranger.pk)


def test_a_budget_of_a_deleted_user_can_be_changed(org: Organization) -> None:
    person = factories.member(org, "boris")
    budget = create(org, user_id=person.pk)
    person.delete()
    changed = editing.change(budget, scope=of_organization(org.pk), by="anna", values={"limit": 7})
    assert (changed.limit, changed.is_active) == (Decimal(7), False)


def test_a_tag_beyond_the_bounds_is_refused(org: Organization, monkeypatch: pytest.MonkeyPatch) -> None:
    from usage_billing.budgets import validation

    monkeypatch.setattr(validation, "VALUES_PER_KEY", 2)
    monkeypatch.setattr(validation, "KEYS_PER_ORGANIZATION", 2)
    for key, value in (("feature", "search"), ("feature", "chat"), ("team", "red")):
        TagValue.objects.create(org=org, tag_key=key, tag_value=value)
    tag_of: dict[str, Any] = {"tag_key": "feature", "tag_value": "mail"}
    assert "2 values of a tag" in refused(org, **tag_of)["tag"][0]
    assert "2 tags of an organisation" in refused(org, tag_key="city", tag_value="Perm")["tag"][0]
    kept = create(org, tag_key="feature", tag_value="search")
    create(org, name="new value", tag_key="team", tag_value="blue")
    create(factories.organization(), **tag_of)
    # A tag that does not change is not refused later.
    TagValue.objects.filter(tag_value="search").delete()
    TagValue.objects.create(org=org, tag_key="feature", tag_value="news")
    editing.change(kept, scope=of_organization(org.pk), by="anna", values={"limit": 5})
    assert (tag_value.VALUES_PER_KEY, tag_value.KEYS_PER_ORGANIZATION) == (500, 50)


def test_processes_learn_of_each_change_once_it_is_committed(
    org: Organization, django_capture_on_commit_callbacks: Any
) -> None:
    def names() -> list[str]:
        published.forget()
        found = published.current()
        return [] if found is None else [each.name for each in found.of_org.get(org.pk, ())]

    scope = of_organization(org.pk)
    with django_capture_on_commit_callbacks(execute=True):
        budget = create(org, mode="stop")
        assert names() == []
    assert names() == ["November"]
    with django_capture_on_commit_callbacks(execute=True):
        editing.change(budget, scope=scope, by="anna", values={"name": "December"})
    assert names() == ["December"]
    with django_capture_on_commit_callbacks(execute=True):
        editing.delete(budget, scope=scope, by="anna")
    assert names() == []


def test_unknown_fields_are_a_bug_of_the_caller(org: Organization) -> None:
    with pytest.raises(TypeError, match="is_superadmins"):
        create(org, is_superadmins=True)
