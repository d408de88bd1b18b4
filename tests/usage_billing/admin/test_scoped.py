"""Every registered admin × every kind of staff × every page: nobody sees or changes another tenant's row.

Staff have every permission that Django knows. So what holds them back is their scope alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.admin.models import ADDITION, LogEntry
from django.contrib.auth.models import Group, Permission, User
from django.contrib.contenttypes.models import ContentType
from django.db import connection, models
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from ai_clients.assistants.models import ContentPiece, DigestDelivery, Message, Participant
from tests.support import factories
from tests.support.rows import NOON, enter, row
from usage_billing.admin.scoped import ScopedAdmin
from usage_billing.models import (
    AlertChannel,
    AlertDelivery,
    AlertFiring,
    AlertRule,
    Budget,
    BudgetChange,
    BudgetRequest,
    ExchangeRate,
    Membership,
    Organization,
    PriceOverride,
    RepriceRun,
    UsageRecord,
)
from usage_billing.tenancy import roles

pytestmark = pytest.mark.django_db

OURS, THEIRS = "our-0wn", "the1r-0wn"
"""A text in every name of one organisation, and in none of the other's."""

Rows = dict[type[models.Model], models.Model]
PEOPLE = ("owner", "member", "nobody")

OF_BUDGETS: set[Any] = {Budget, BudgetRequest, BudgetChange, AlertChannel, AlertRule, AlertFiring, AlertDelivery}
LOOKED_AT: dict[str, set[Any]] = {
    "owner": {UsageRecord, Organization, ExchangeRate, ContentPiece, Participant, Message, DigestDelivery} | OF_BUDGETS
}
LOOKED_AT["member"] = LOOKED_AT["nobody"] = LOOKED_AT["owner"]
"""The models whose lists open to staff who are not superadmins."""
OWN_ROWS: dict[str, set[Any]] = {
    "owner": LOOKED_AT["owner"],
    # A member sees the budgets that may count their calls, and what they have asked for.
    "member": LOOKED_AT["owner"] - {DigestDelivery} - (OF_BUDGETS - {Budget, BudgetRequest}),
    "nobody": {ExchangeRate},
}
"""The models among them with a row of the organisation; rates belong to none."""
CHANGED = {"owner": {ContentPiece, Participant, Message}, "nobody": set[Any]()}
CHANGED["member"] = CHANGED["owner"]
"""The models that they may add, change and delete within their organisation."""


@dataclass
class World:
    ours: Rows
    theirs: Rows
    clients: dict[str, Client] = field(default_factory=dict)


def filled(name: str) -> Rows:
    """An organisation with one row of every model that the admin has."""
    org = factories.organization(name)
    org.slug = name
    org.save()
    member = factories.member(org, f"{name}-user")
    enter(
        row(org, user_id=member.pk, request_id=name, agent_id=name, request_type=name, ai_model=name, ai_provider=name)
    )
    person = Participant.objects.create(org=org, external_id=name, name=name)
    override = PriceOverride.objects.create(
        provider="openai", model_pattern=name, org=org, valid_from=date(2026, 1, 1), prices={"input_mtok": "1"}
    )
    run = RepriceRun.objects.create(
        by=name, reason=name, date_from=date(2026, 1, 1), date_to=date(2026, 1, 1), started_at=NOON, org=org
    )
    budget = Budget.objects.create(org=org, name=name, limit=100, starts_on=date(2026, 1, 1))
    channel = AlertChannel.objects.create(org=org, name=name, kind="email", target=f"{name}@example.com")
    rule = AlertRule.objects.create(org=org, name=name, kind="errors", bound=5)
    firing = AlertFiring.objects.create(org=org, rule=rule, key=name, value=7, bound=5)
    return {
        Organization: org,
        Budget: budget,
        BudgetChange: BudgetChange.objects.create(org=org, budget=budget, budget_name=name, by=name),
        BudgetRequest: BudgetRequest.objects.create(org=org, budget=budget, user=member, limit=200, reason=name),
        AlertChannel: channel,
        AlertRule: rule,
        AlertFiring: firing,
        AlertDelivery: AlertDelivery.objects.create(
            org=org, firing=firing, channel=channel, event="firing", problem=name
        ),
        User: member,
        Group: Group.objects.create(name=name),
        UsageRecord: UsageRecord.objects.get(request_id=name),
        ExchangeRate: ExchangeRate.objects.get_or_create(date=date(2026, 1, 1), defaults={"usd_rub": 80})[0],
        PriceOverride: override,
        RepriceRun: run,
        ContentPiece: ContentPiece.objects.create(org=org, title=name, text=name, platform=name),
        Participant: person,
        Message: Message.objects.create(
            org=org, participant=person, chat_id=name, external_id=name, text=name, sent_at=NOON
        ),
        DigestDelivery: DigestDelivery.objects.create(org=org, week=date(2026, 1, 5), error=name),
    }


@pytest.fixture
def world(settings: Settings) -> World:
    settings.LANGUAGE_CODE = "en"
    made = World(filled(OURS), filled(THEIRS))
    staff = {
        "owner": factories.owner(made.ours[Organization], "olga"),  # type: ignore[arg-type]
        "member": made.ours[User],
        "nobody": factories.user("nick"),
    }
    for person in staff.values():
        assert isinstance(person, User)
        person.is_staff = True
        person.save()
        person.user_permissions.set(Permission.objects.all())
    for name, user in {**staff, "superadmin": factories.superadmin("root")}.items():
        made.clients[name] = Client()
        made.clients[name].force_login(user)  # type: ignore[arg-type]
    for model, one in made.theirs.items():
        # Somebody else's history of the row.
        LogEntry.objects.create(
            user=User.objects.get(username="root"), content_type=ContentType.objects.get_for_model(model),
            object_id=str(one.pk), object_repr=THEIRS, action_flag=ADDITION,
            change_message="" if model is ExchangeRate else THEIRS,
        )  # fmt: skip
    return made


def registered() -> list[Any]:
    return list(admin.site._registry.values())


def address(model: type[models.Model], page: str, *args: Any) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=args)


def everything() -> dict[str, list[dict[str, Any]]]:
    """All rows of all tenants."""
    return {
        model._meta.label: list(model._default_manager.order_by("pk").values())
        for model in (*(each.model for each in registered()), Membership)
    }


def test_every_admin_is_scoped_and_has_a_row_in_this_world(world: World) -> None:
    """An admin that is registered later has to say whose its rows are, and gets a row above."""
    assert [each for each in registered() if not isinstance(each, ScopedAdmin)] == []
    inlines = [inline for each in registered() for inline in each.inlines]
    assert [inline for inline in inlines if not issubclass(inline, ScopedAdmin)] == []
    assert {each.model for each in registered()} == set(world.theirs)
    assert OURS not in {*everything()["auth.User"][1].values()}


def test_superadmin_sees_all_rows(world: World) -> None:
    """So that what the others do not see is there to be seen."""
    browser = world.clients["superadmin"]
    for model, one in world.theirs.items():
        for page in (address(model, "changelist"), address(model, "change", one.pk)):
            assert (THEIRS in browser.get(page).content.decode()) is (model is not ExchangeRate), page
        for page in (address(model, "history", one.pk), address(model, "add")):
            assert browser.get(page).status_code in (200, 403), page


@pytest.mark.parametrize("person", PEOPLE)
def test_lists_show_the_rows_in_scope(world: World, person: str) -> None:
    browser, seen, owned = world.clients[person], set(), set()
    for model in world.theirs:
        answer = browser.get(address(model, "changelist"))
        assert answer.status_code in (200, 403), model
        assert THEIRS not in answer.content.decode(), model
        if answer.status_code == 200:
            seen.add(model)
            rows = set(answer.context["cl"].queryset)
            assert rows <= {world.ours[model], *([User.objects.get(username="olga")] if model is User else [])}
            if rows:
                owned.add(model)
    assert (seen, owned) == (LOOKED_AT[person], OWN_ROWS[person])
    found = browser.get(reverse("admin:index")).content.decode()
    links = {model for model in world.theirs if f'href="{address(model, "changelist")}"' in found}
    assert (links, THEIRS in found) == (LOOKED_AT[person], False)


@pytest.mark.parametrize("person", PEOPLE)
def test_another_tenants_row_is_not_there(world: World, person: str) -> None:
    """Not to open, nor to change or delete, nor its history, nor by an action of the list."""
    browser, before = world.clients[person], everything()
    for model, one in world.theirs.items():
        if model is ExchangeRate:
            continue  # it is nobody's
        for page in ("change", "delete", "history"):
            for answer in (
                browser.get(address(model, page, one.pk), follow=True),
                browser.post(address(model, page, one.pk), {"post": "yes"}, follow=True),
            ):
                assert answer.status_code in (200, 403, 404), (model, page)
                assert THEIRS not in answer.content.decode(), (model, page)
        chosen = {"_selected_action": [str(one.pk)], "post": "yes", "index": "0"}
        for action in ("delete_selected", "ask_about"):
            answer = browser.post(address(model, "changelist"), {**chosen, "action": action}, follow=True)
            assert answer.status_code in (200, 403), (model, action)
            assert THEIRS not in answer.content.decode(), (model, action)
    assert everything() == before


@pytest.mark.parametrize("person", PEOPLE)
def test_own_rows_open_and_are_changed_where_that_is_allowed(world: World, person: str) -> None:
    browser, changed, added = world.clients[person], set(), set()
    for model, one in world.ours.items():
        for page in ("change", "history"):
            # Django says of a history first that there is none.
            refused = 302 if model in LOOKED_AT[person] or page == "history" else 403
            expected = 200 if model in OWN_ROWS[person] else refused
            answer = browser.get(address(model, page, one.pk))
            assert answer.status_code == expected, (model, page)
            assert THEIRS not in answer.content.decode(), (model, page)
        if browser.post(address(model, "change", one.pk), {}).status_code == 200:
            changed.add(model)
        empty = [browser.get(address(model, "add")), browser.post(address(model, "add"), {})]
        assert {answer.status_code for answer in empty} in ({200}, {403}), model
        assert [answer for answer in empty if THEIRS in answer.content.decode()] == []
        if empty[0].status_code == 200:
            added.add(model)
    assert (changed, added) == (CHANGED[person], CHANGED[person])
    for model in (Message, ContentPiece, Participant):
        browser.post(address(model, "delete", world.ours[model].pk), {"post": "yes"})
        assert model._default_manager.filter(pk=world.ours[model].pk).exists() is (model not in CHANGED[person])
    for model in set(world.ours) - {Message, ContentPiece, Participant}:
        assert browser.post(address(model, "delete", world.ours[model].pk), {"post": "yes"}).status_code in (302, 403)
        assert model._default_manager.filter(pk=world.ours[model].pk).exists(), model


@pytest.mark.parametrize("person", PEOPLE)
def test_rates_organisations_prices_and_users_are_entered_by_superadmins_alone(world: World, person: str) -> None:
    """The finding: on PostgreSQL these were errors of the server."""
    forms: dict[type[models.Model], dict[str, Any]] = {
        ExchangeRate: {"date": "2026-02-02", "usd_rub": "1"},
        Organization: {
            "name": "x",
            "slug": "x",
            "timezone": "Europe/Moscow",
            "language": "ru",
            "memberships-TOTAL_FORMS": 0,
            "memberships-INITIAL_FORMS": 0,
        },
        PriceOverride: {
            "provider": "openai",
            "model_pattern": "*",
            "valid_from": "2026-01-01",
            "price_input_mtok": "0",
        },
        User: {"username": "x", "usable_password": "true", "password1": "Tr1cky-one!", "password2": "Tr1cky-one!"},
        Group: {"name": "x"},
    }
    before = everything()
    for model, form in forms.items():
        assert world.clients[person].post(address(model, "add"), form).status_code == 403, model
    own = world.clients[person].post(address(User, "change", world.ours[User].pk), {"is_superuser": "on"})
    assert (own.status_code, everything() == before) == (403, True)
    for model, form in forms.items():
        assert world.clients["superadmin"].post(address(model, "add"), form).status_code == 302, model


@pytest.mark.parametrize("person", PEOPLE)
def test_choices_and_suggestions_are_those_in_scope(world: World, person: str) -> None:
    asked, suggested = 0, set()
    for each in registered():
        for name in each.autocomplete_fields:
            query = {"app_label": each.opts.app_label, "model_name": each.opts.model_name, "field_name": name}
            answer = world.clients[person].get(reverse("admin:autocomplete"), query)
            assert answer.status_code in (200, 403)
            assert THEIRS not in answer.content.decode()
            suggested |= {OURS} if OURS in answer.content.decode() else set()
            everyone = world.clients["superadmin"].get(reverse("admin:autocomplete"), query).content.decode()
            asked += THEIRS in everyone
    assert asked > 4
    assert suggested == (set() if person == "nobody" else {OURS})


@pytest.mark.parametrize("person", PEOPLE)
def test_nothing_is_filed_under_another_tenant(world: World, person: str) -> None:
    before = everything()
    ours, theirs = world.ours, world.theirs
    message = {"chat_id": "c", "external_id": "1", "text": "x", "sent_at_0": "2026-11-01", "sent_at_1": "10:00"}
    for model, form in (
        (ContentPiece, {"org": theirs[Organization].pk, "title": "x", "text": "x", "status": "draft"}),
        (Participant, {"org": theirs[Organization].pk, "name": "x", "external_id": "x"}),
        (Message, {**message, "org": theirs[Organization].pk, "participant": theirs[Participant].pk}),
        (Message, {**message, "org": ours[Organization].pk, "participant": theirs[Participant].pk}),
        (
            Message,
            {
                **message,
                "org": ours[Organization].pk,
                "participant": ours[Participant].pk,
                "answers": theirs[Message].pk,
            },
        ),
    ):
        answer = world.clients[person].post(address(model, "add"), form)
        assert answer.status_code == (403 if person == "nobody" else 200)
        assert THEIRS not in answer.content.decode()
    assert everything() == before


def test_search_finds_only_what_may_be_opened(world: World) -> None:
    answer = world.clients["owner"].get(reverse("admin:search"), {"s": "e"})
    found = answer.content.decode()
    assert address(ContentPiece, "changelist") in found
    assert [model for model in world.theirs if address(model, "changelist") in found and model not in LOOKED_AT["owner"]
            ] == []  # fmt: skip


@pytest.mark.postgres
def test_the_database_holds_staff_to_the_same(world: World) -> None:
    """These tests would pass with filters alone; here the requests run in the web's role."""
    seen: list[str] = []
    original = ContentPiece.__str__

    def told(piece: ContentPiece) -> str:
        with connection.cursor() as cursor:
            cursor.execute("SELECT current_user")
            seen.append(cursor.fetchone()[0])
        return original(piece)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ContentPiece, "__str__", told)
        world.clients["owner"].get(address(ContentPiece, "change", world.ours[ContentPiece].pk))
    assert set(seen) == {roles.WEB}
