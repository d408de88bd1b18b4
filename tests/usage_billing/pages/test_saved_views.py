"""Saved views: who opens which, and saving, changing, sharing and deleting them."""

from __future__ import annotations

import re
from collections.abc import Callable
from html import unescape
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from tests.support.page_text import read
from tests.support.rows import enter, row
from usage_billing.models import Membership, Organization, SavedView
from usage_billing.models.saved_view import VIEWS_PER_USER

SUPERADMIN, OWN = "/superadmin/ai-costs/views", "/usage/views"

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("at_noon")]


def save(client: Client, base: str = OWN, **fields: Any) -> Any:
    """Send the form of the menu."""
    return client.post(base, {"name": "Ours", "page": "explore", "query": "days=30&group=agent_id"} | fields)


def messages_of(client: Client, address: str) -> list[str]:
    found = re.findall(r'<p class="notice"[^>]*>(.*?)</p>', client.get(address).content.decode())
    return [unescape(text) for text in found]


def only() -> SavedView:
    """The one view that there is."""
    return SavedView.objects.get()


@pytest.fixture
def olga(owner_of: Callable[..., Client], acme: Organization) -> Client:
    return owner_of(acme)


@pytest.fixture
def misha(member_of: Callable[..., Client], acme: Organization) -> Client:
    return member_of(acme)


# ── Saving and opening ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("page", ["overview", "explore", "calls", "insights"])
def test_each_page_has_the_menu_and_can_be_saved(olga: Client, acme: Organization, page: str) -> None:
    enter(row(acme))
    address = "/usage/" if page == "overview" else f"/usage/{page}"
    text = olga.get(address, {"days": "7", "agent_id": "legal_guard"}).content.decode()
    assert "★ Save view" in text
    (form,) = re.findall(r'<form [^>]*action="/usage/views">.*?</form>', text, re.DOTALL)
    sent = dict(re.findall(r'<input type="hidden" name="(page|query)" value="([^"]*)"', form))
    assert sent == {"page": page, "query": "days=7&amp;agent_id=legal_guard"}
    response = save(olga, page=sent["page"], query=unescape(sent["query"]))
    opened = f"{address}?days=7&agent_id=legal_guard"
    assert (response.status_code, response["Location"]) == (302, opened)
    assert messages_of(olga, opened) == ["Saved as “Ours”."]
    assert "★ Ours" in olga.get(opened).content.decode()
    assert read(olga.get(address)).links["Ours"] == opened


def test_a_view_keeps_what_was_chosen_and_days_stay_relative(olga: Client, acme: Organization) -> None:
    query = (
        "days=30&metric=p95_time&group=tag.feature&then=ai_model&step=week&sort=-change&agent_id=a&agent_id=b&user!=0"
    )
    save(olga, query=query + "&format=csv&filters=edit&metric=p95_time")
    assert only().query == "days=30&metric=p95_time&group=tag.feature&then=ai_model&step=week&sort=-change&" + (
        "agent_id=a&agent_id=b&user%21=0"
    )
    assert olga.get(f"{OWN}/{only().pk}")["Location"] == "/usage/explore?" + only().query


def test_what_the_page_would_leave_out_is_not_saved(olga: Client) -> None:
    save(olga, query="days=7&metric=profit&org=x&group=agent_id&next=//evil.example")
    assert only().query == "days=7&group=agent_id"


def test_a_view_without_parameters_is_the_page(olga: Client) -> None:
    assert save(olga, page="calls", query="")["Location"] == "/usage/calls"


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"name": " "}, "This field is required."),
        ({"name": "x" * 101}, "Ensure this value has at most 100 characters (it has 101)."),
        ({"share": "superadmins"}, "Select a valid choice. superadmins is not one of the available choices."),
        ({"query": "&".join(f"agent_id={'x' * 90}{n}" for n in range(60))}, "too many filters to be saved"),
    ],
)
def test_what_cannot_be_saved_is_explained(olga: Client, fields: dict[str, str], text: str) -> None:
    response = save(olga, **fields)
    assert SavedView.objects.count() == 0
    assert any(text in found for found in messages_of(olga, response["Location"]))


def test_an_unknown_page_is_not_saved(olga: Client) -> None:
    assert save(olga, page="admin").status_code == 404


def test_a_name_is_given_once(olga: Client, misha: Client) -> None:
    assert save(olga)["Location"] == save(misha)["Location"]  # each person has names of their own
    response = save(olga, query="days=7")
    assert messages_of(olga, response["Location"])[-1] == "You have a view of this name already."
    assert SavedView.objects.count() == 2


def test_a_superadmins_names_are_given_once_as_well(superadmin: Client) -> None:
    save(superadmin, SUPERADMIN)
    save(superadmin, SUPERADMIN, query="days=7")
    assert only().query == "days=30&group=agent_id"


def test_a_person_has_so_many_views(olga: Client, acme: Organization) -> None:
    user = User.objects.get(username="olga")
    SavedView.objects.bulk_create(
        SavedView(org=acme, user=user, name=str(number), page="calls") for number in range(VIEWS_PER_USER)
    )
    response = save(olga)
    assert messages_of(olga, response["Location"]) == [
        "You have 100 saved views. Delete one that you no longer need, then save this one."
    ]
    assert SavedView.objects.count() == VIEWS_PER_USER


def test_a_form_of_another_site_is_refused(acme: Organization, olga: Client) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(User.objects.get(username="olga"))
    assert save(client).status_code == 403
    assert SavedView.objects.count() == 0


def test_anonymous_people_log_in_first() -> None:
    for response in (Client().get(OWN), save(Client()), Client().get(f"{OWN}/1")):
        assert (response.status_code, response["Location"].partition("?")[0]) == (302, "/login/")


def test_a_person_without_an_organisation_saves_nothing(member_of: Callable[..., Client]) -> None:
    client = member_of(name="nobody")
    assert save(client).status_code == 403
    assert "Save view" not in client.get("/usage/explore").content.decode()


# ── Who opens which ──────────────────────────────────────────────────────────────────────────────────────────────


def status(client: Client, base: str = OWN) -> int:
    return int(client.get(f"{base}/{only().pk}").status_code)


@pytest.mark.parametrize("share", ["", "superadmins"])
def test_a_superadmins_view_never_opens_to_an_owner(superadmin: Client, olga: Client, share: str) -> None:
    save(superadmin, SUPERADMIN, name="Everybody's secret", share=share)
    assert only().org is None
    assert status(superadmin, SUPERADMIN) == 302
    assert status(olga) == 404
    assert status(olga, SUPERADMIN) == 403  # as every page of superadmins, whether there is such a view or not
    assert olga.post(f"{OWN}/{only().pk}", {"action": "delete"}).status_code == 404
    for address in (OWN, "/usage/explore"):
        assert "secret" not in olga.get(address).content.decode()
    assert only().name == "Everybody's secret"


def test_a_private_view_opens_to_its_user_alone(superadmin: Client, olga: Client, misha: Client) -> None:
    save(misha)
    assert (status(misha), status(olga), status(superadmin, SUPERADMIN)) == (302, 404, 404)
    assert "Ours" not in olga.get("/usage/explore").content.decode()


def test_a_shared_view_opens_to_the_organisation_in_each_ones_scope(
    olga: Client, misha: Client, acme: Organization, globex: Organization, member_of: Callable[..., Client]
) -> None:
    enter(
        row(acme, user_id=User.objects.get(username="misha").pk, agent_id="mine"),
        row(acme, user_id=User.objects.get(username="olga").pk, agent_id="hers"),
    )
    save(olga, share=str(acme.pk))
    opened = [client.get(f"{OWN}/{only().pk}", follow=True).content.decode() for client in (olga, misha)]
    assert [("hers" in text, "mine" in text) for text in opened] == [(True, True), (False, True)]
    stranger = member_of(globex, role="owner", name="greta")
    assert status(stranger) == 404
    assert "Ours" not in stranger.get(OWN).content.decode()


def test_nobody_shares_with_an_organisation_of_others(olga: Client, globex: Organization) -> None:
    save(olga, share=str(globex.pk))
    assert SavedView.objects.count() == 0


def test_superadmins_share_with_each_other_and_with_an_organisation(
    superadmin: Client, olga: Client, acme: Organization
) -> None:
    other = Client()
    other.force_login(User.objects.create_user("second", is_staff=True, is_superuser=True))
    save(superadmin, SUPERADMIN, name="All", share="superadmins")
    assert status(other, SUPERADMIN) == 302
    only().delete()
    save(superadmin, SUPERADMIN, name="For Acme", query=f"days=7&org={acme.pk}", share=str(acme.pk))
    assert olga.get(f"{OWN}/{only().pk}")["Location"] == f"/usage/explore?days=7&org={acme.pk}"
    assert status(other, SUPERADMIN) == 404  # it is the organisation's


def test_a_superadmin_sees_a_view_of_an_organisation_narrowed_to_it(acme: Organization, olga: Client) -> None:
    save(olga, share=str(acme.pk))
    User.objects.filter(username="olga").update(is_superuser=True)
    assert olga.get(f"{OWN}/{only().pk}")["Location"] == f"{SUPERADMIN}/{only().pk}"
    opened = olga.get(f"{SUPERADMIN}/{only().pk}")["Location"]
    assert opened == f"/superadmin/ai-costs/explore?days=30&group=agent_id&org={acme.pk}"
    assert "★ Ours" in olga.get(opened).content.decode()


def test_a_superadmin_no_more_opens_no_view_of_superadmins(superadmin: Client, acme: Organization) -> None:
    save(superadmin, SUPERADMIN)
    root = User.objects.get(username="root")
    User.objects.filter(pk=root.pk).update(is_superuser=False)
    Membership.objects.create(org=acme, user=root, role="owner")
    assert status(superadmin) == 404


def test_who_leaves_the_organisation_leaves_its_views(olga: Client, misha: Client, acme: Organization) -> None:
    save(olga, share=str(acme.pk))
    assert status(misha) == 302
    Membership.objects.filter(user__username="misha").delete()
    assert status(misha) == 404


# ── Changing ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_rename_share_and_unshare(olga: Client, misha: Client, acme: Organization) -> None:
    save(olga)
    address = f"{OWN}/{only().pk}"
    response = olga.post(address, {"name": "Renamed", "share": str(acme.pk)})
    assert (response.status_code, response["Location"]) == (302, OWN)
    assert (only().name, only().is_shared, status(misha)) == ("Renamed", True, 302)
    assert messages_of(olga, OWN)[-1] == "“Renamed” is changed."
    assert "saved by olga" in misha.get(OWN).content.decode()
    olga.post(address, {"name": "Renamed", "share": ""})
    assert (only().is_shared, status(misha), status(olga)) == (False, 404, 302)


def test_delete(olga: Client) -> None:
    save(olga)
    response = olga.post(f"{OWN}/{only().pk}", {"action": "delete"})
    assert response["Location"] == OWN
    assert messages_of(olga, OWN)[-1] == "“Ours” is deleted."
    assert SavedView.objects.count() == 0
    assert "No saved views yet" in olga.get(OWN).content.decode()


def test_colleagues_open_a_shared_view_and_do_not_change_it(olga: Client, misha: Client, acme: Organization) -> None:
    save(olga, share=str(acme.pk))
    address = f"{OWN}/{only().pk}"
    misha.post(address, {"name": "Mine now", "share": ""})
    assert messages_of(misha, OWN) == [
        "Only its author can change a view. Open it and save it under a name of your own."
    ]
    misha.post(address, {"action": "delete"})
    assert messages_of(misha, OWN) == ["Only its author or an owner can delete a view."]
    assert (only().name, only().is_shared) == ("Ours", True)
    assert "Edit" in olga.get(OWN).content.decode()
    assert "Edit" not in misha.get(OWN).content.decode()


def test_an_owner_deletes_what_a_member_has_shared(olga: Client, misha: Client, acme: Organization) -> None:
    save(misha, share=str(acme.pk))
    olga.post(f"{OWN}/{only().pk}", {"name": "Hers", "share": ""})
    assert only().name == "Ours"
    olga.post(f"{OWN}/{only().pk}", {"action": "delete"})
    assert SavedView.objects.count() == 0


# ── The start page ───────────────────────────────────────────────────────────────────────────────────────────────


def test_home_and_log_in_lead_to_the_start_page(olga: Client, misha: Client) -> None:
    assert olga.get("/")["Location"] == "/usage/"
    save(olga, is_start="1")
    assert olga.get("/")["Location"] == "/usage/explore?days=30&group=agent_id"
    assert misha.get("/")["Location"] == "/usage/"
    User.objects.get(username="olga").set_password("secret")
    user = User.objects.get(username="olga")
    user.set_password("secret")
    user.save()
    response = Client().post("/login/", {"username": "olga", "password": "secret"}, follow=True)
    assert response.redirect_chain == [("/", 302), ("/usage/explore?days=30&group=agent_id", 302)]


def test_there_is_one_start_page(olga: Client, superadmin: Client) -> None:
    save(olga, is_start="1")
    save(superadmin, SUPERADMIN, is_start="1")
    save(olga, name="Later", page="calls", query="", is_start="1")
    starts = SavedView.objects.filter(is_start=True).values_list("user__username", "name")
    assert sorted(starts) == [("olga", "Later"), ("root", "Ours")]
    assert olga.get("/")["Location"] == "/usage/calls"
    assert superadmin.get("/")["Location"] == "/superadmin/ai-costs/explore?days=30&group=agent_id"
    later = SavedView.objects.get(name="Later")
    olga.post(f"{OWN}/{later.pk}", {"name": "Later", "share": ""})
    assert olga.get("/")["Location"] == "/usage/"


def test_a_start_page_that_does_not_open_any_more_is_the_overview(olga: Client) -> None:
    save(olga, is_start="1")
    Membership.objects.all().delete()
    assert olga.get("/")["Location"] == "/usage/"


# ── Deletions ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_private_views_go_with_their_user_and_shared_ones_stay(olga: Client, misha: Client, acme: Organization) -> None:
    save(misha, name="Private")
    save(misha, name="Shared", share=str(acme.pk), is_start="1")
    User.objects.get(username="misha").delete()
    assert (only().name, only().user_id, only().is_start) == ("Shared", None, False)
    assert status(olga) == 302
    assert "saved by a deleted user" in olga.get(OWN).content.decode()
    olga.post(f"{OWN}/{only().pk}", {"action": "delete"})
    assert SavedView.objects.count() == 0


def test_views_go_with_their_organisation(olga: Client, acme: Organization) -> None:
    save(olga, share=str(acme.pk))
    acme.delete()
    assert SavedView.objects.count() == 0
