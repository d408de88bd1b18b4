"""The organisation that a run is charged to, and its content piece."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from django.utils import timezone

from ai_clients.assistants.agents import agents
from ai_clients.assistants.models import ContentPiece
from ai_clients.assistants.runs import run
from ai_clients.assistants.runs.run import ContentNotFoundError, OrganizationNotFoundError, OrganizationRequiredError
from tests.support import factories
from usage_billing.models import Organization
from usage_billing.tenancy.scope import EVERYTHING, NOTHING, Scope, of_organization, scope_of

pytestmark = pytest.mark.django_db


def piece(org: Organization, **fields: Any) -> ContentPiece:
    return ContentPiece.objects.create(org=org, **{"title": "Кофе", "text": "Кофе полезен.", **fields})


def both(*orgs: Organization) -> Scope:
    return Scope(owned_org_ids=frozenset({orgs[0].pk}), member_org_ids=frozenset({orgs[1].pk}), user_id=1)


def test_the_only_organisation_needs_no_naming() -> None:
    org = factories.organization()
    factories.organization()
    assert run.account(of_organization(org.pk)) == run.Account(org)
    assert run.account(scope_of(factories.member(org))) == run.Account(org)


def test_one_of_several_is_named_by_id_or_slug() -> None:
    ours, also, _ = factories.organization(), factories.organization(), factories.organization()
    scope = both(ours, also)
    assert run.account(scope, org=ours.pk).org == ours
    assert run.account(scope, org=also.slug).org == also
    with pytest.raises(OrganizationRequiredError):
        run.account(scope)


def test_a_number_is_an_id_and_a_text_a_slug() -> None:
    ours = factories.organization()
    numbered = Organization.objects.create(name="n", slug=str(ours.pk))
    assert run.account(EVERYTHING, org=str(ours.pk)).org == numbered
    assert run.account(EVERYTHING, org=ours.pk).org == ours


@pytest.mark.parametrize("org", ["no-such", 0, -1, 2**70])
def test_organisation_that_is_not_there(org: int | str) -> None:
    for scope in (EVERYTHING, NOTHING):
        with pytest.raises(OrganizationNotFoundError):
            run.account(scope, org=org)


def test_organisation_of_others_is_not_there() -> None:
    ours, theirs = factories.organization(), factories.organization()
    assert run.account(EVERYTHING, org=theirs.slug).org == theirs
    with pytest.raises(OrganizationNotFoundError):
        run.account(of_organization(ours.pk), org=theirs.slug)


def test_closed_organisation_is_charged_no_more() -> None:
    org = factories.organization()
    content = piece(org)
    org.closed_at = timezone.now()
    org.save()
    with pytest.raises(OrganizationRequiredError):
        run.account(of_organization(org.pk))
    with pytest.raises(OrganizationNotFoundError):
        run.account(EVERYTHING, org=org.pk)
    with pytest.raises(ContentNotFoundError):
        run.account(EVERYTHING, content_id=content.pk)


def test_everything_is_no_single_organisation() -> None:
    factories.organization()
    with pytest.raises(OrganizationRequiredError):
        run.account(EVERYTHING)


def test_content_says_who_is_charged() -> None:
    ours, also = factories.organization(), factories.organization()
    content = piece(also)
    assert run.account(both(ours, also), content_id=content.pk) == run.Account(also, content)
    assert run.account(EVERYTHING, content_id=content.pk).org == also
    # Named both ways, they have to agree.
    with pytest.raises(ContentNotFoundError):
        run.account(both(ours, also), content_id=content.pk, org=ours.pk)


def test_content_of_others_is_not_there() -> None:
    ours, theirs = factories.organization(), factories.organization()
    content = piece(theirs)
    for content_id in (content.pk, uuid.uuid4()):
        with pytest.raises(ContentNotFoundError):
            run.account(of_organization(ours.pk), content_id=content_id)


def test_content_fills_in_what_the_agent_takes_and_the_input_leaves_out() -> None:
    content = piece(factories.organization())
    known = {"text": "Кофе полезен.", "title": "Кофе"}
    assert run.filled_in(agents()["legal_guard"], {}, content) == known
    assert run.filled_in(agents()["legal_guard"], {"text": "Чай"}, content) == {"text": "Чай", "title": "Кофе"}
    # Without a field for it, and without a text to fill in
    assert run.filled_in(agents()["trends_scout"], {"posts": []}, content) == {"posts": []}
    assert run.filled_in(agents()["legal_guard"], {}, piece(content.org, text="")) == {"title": "Кофе"}
    assert run.filled_in(agents()["legal_guard"], {"text": "Чай"}, None) == {"text": "Чай"}
