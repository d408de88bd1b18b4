"""Owners choose the weekly digest on the account page, for each organisation by itself."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.test import Client

from ai_clients.assistants.digest.delivery import Outcome, send_digest, subscribed_owners
from ai_clients.assistants.digest.subscription import subscribe
from ai_clients.assistants.models import DigestSubscription
from tests.ai_clients.assistants.digest.conftest import MONDAY
from tests.support import factories, people
from tests.support.mail_server import MailServer
from usage_billing.models import Membership, Organization

pytestmark = pytest.mark.django_db


def browser(person: User) -> Client:
    client = Client(headers={"accept-language": "en"})
    client.force_login(person)
    return client


def box(org: Organization, is_checked: bool) -> str:
    return f'name="weekly-digest-{org.pk}"{" checked" if is_checked else ""}>'


def new_owner(org: Organization, name: str) -> User:
    """With an address, not subscribed."""
    person = factories.owner(org, name)
    person.email = f"{name}@example.com"
    person.save()
    return person


def test_an_owner_gets_no_digest_until_they_subscribe(
    org: Organization, mail: MailServer, simulated: dict[str, str]
) -> None:
    olga, _petr = new_owner(org, "olga"), new_owner(org, "petr")
    assert send_digest(org.pk, MONDAY) is Outcome.NOBODY
    client = browser(olga)
    page = client.get("/account/").content.decode()
    assert box(org, False) in page
    assert "Weekly digest of “Северный ветер” by e-mail" in page
    client.post("/account/choices/", {f"weekly-digest-{org.pk}": "on"})
    assert box(org, True) in client.get("/account/").content.decode()
    assert send_digest(org.pk, MONDAY) is Outcome.SENT
    assert mail.recipients == ["olga@example.com"]


def test_an_owner_who_unsubscribes_gets_none_and_the_others_do(
    org: Organization, owners: list[User], mail: MailServer, simulated: dict[str, str]
) -> None:
    client = browser(owners[0])
    client.post("/account/choices/", {f"weekly-digest-{org.pk}": "on"})  # once more, which changes nothing
    client.post("/account/choices/", {})
    assert box(org, False) in client.get("/account/").content.decode()
    send_digest(org.pk, MONDAY)
    assert mail.recipients == ["petr@example.com"]


def test_an_organisation_that_is_owned_later_is_chosen_by_itself(org: Organization, owners: list[User]) -> None:
    later = factories.organization("Потом")
    Membership.objects.create(org=later, user=owners[0], role=Membership.Role.OWNER)
    page = browser(owners[0]).get("/account/").content.decode()
    assert (box(org, True) in page, box(later, False) in page) == (True, True)
    assert subscribed_owners(later) == []


def test_the_choice_is_the_owners_and_of_their_own_open_organisations(org: Organization, owners: list[User]) -> None:
    other, closed = factories.organization("Чужая"), factories.organization("Закрытая")
    Membership.objects.create(org=closed, user=owners[0], role=Membership.Role.OWNER)
    closed.closed_at = MONDAY
    closed.save()
    everything = {f"weekly-digest-{each.pk}": "on" for each in (org, other, closed)}
    member = factories.member(org, "member")
    for person in (owners[0], member):
        browser(person).post("/account/choices/", everything)
    assert {*DigestSubscription.objects.values_list("org_id", "user_id")} == {(org.pk, each.pk) for each in owners}
    assert "weekly-digest" in browser(owners[0]).get("/account/").content.decode()
    assert "weekly-digest" not in browser(member).get("/account/").content.decode()


@pytest.mark.parametrize("how", ["leaves", "becomes a member", "is deleted"])
def test_a_subscription_ends_with_the_ownership(org: Organization, owners: list[User], how: str) -> None:
    membership = Membership.objects.get(org=org, user=owners[0])
    if how == "leaves":
        membership.delete()
    elif how == "is deleted":
        owners[0].delete()
    else:
        membership.role = Membership.Role.MEMBER
        membership.save()
    assert [row.user_id for row in DigestSubscription.objects.all()] == [owners[1].pk]


def test_a_saved_ownership_keeps_the_subscription(org: Organization, owners: list[User]) -> None:
    Membership.objects.get(org=org, user=owners[0]).save()
    assert subscribed_owners(org) == owners


def test_a_deleted_organisation_takes_its_subscriptions_along() -> None:
    org = factories.organization()
    people.subscriber(factories.owner(org), org, "olga@example.com")
    org.delete()
    assert DigestSubscription.objects.count() == 0


def test_migration_subscribes_those_who_got_the_digest_until_then(transactional_db: None) -> None:
    org = factories.organization()
    stays, declined = factories.owner(org, "stays"), factories.owner(org, "declined")
    factories.member(org, "member")
    subscribe(user_id=stays.pk, org_id=org.pk)
    try:
        call_command("migrate", "ai_assistants", "0002", verbosity=0)
        state = MigrationExecutor(connection).loader.project_state([("ai_assistants", "0002_digest_refusal")])
        refusals = state.apps.get_model("ai_assistants", "DigestRefusal").objects
        assert list(refusals.values_list("org_id", "user_id")) == [(org.pk, declined.pk)]
        factories.owner(org, "other")  # says nothing
    finally:
        call_command("migrate", verbosity=0)
    subscribed = DigestSubscription.objects.values_list("user__username", flat=True)
    assert sorted(subscribed) == ["other", "stays"]
