"""The token decides the organisation: what a span names may narrow that, and never widen it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from tests.support import factories, otlp
from usage_billing.models import Organization, UsageRecord

pytestmark = pytest.mark.django_db
USED: dict[str, Any] = {"gen_ai__usage__input_tokens": 10, "gen_ai__usage__output_tokens": 5}

Report = Callable[..., UsageRecord | None]


@pytest.fixture
def org() -> Organization:
    return factories.organization()


@pytest.fixture
def report(client: Client, drained: Callable[[], int]) -> Report:
    """Report a call with these attributes. Returns its record; None if it was refused."""

    def send(token: str, **values: Any) -> UsageRecord | None:
        response = otlp.post(client, token, otlp.span(**USED, **values))
        assert response.status_code == 200
        assert bool(drained()) == (response.content == b"{}")
        return UsageRecord.objects.last()

    return send


def test_a_call_belongs_to_the_token_s_organisation(org: Organization, report: Report) -> None:
    record = report(otlp.token(org))

    assert record is not None
    assert (record.org, record.tags) == (org, {"service_token": "collector"})


@pytest.mark.parametrize("name", ["pk", "slug"])
def test_a_span_may_name_the_token_s_own_organisation(org: Organization, report: Report, name: str) -> None:
    record = report(otlp.token(org), ai_costs__org=getattr(org, name))

    assert record is not None
    assert record.org == org


@pytest.mark.parametrize("name", ["pk", "slug"])
def test_a_span_that_names_another_organisation_is_refused(org: Organization, report: Report, name: str) -> None:
    other = factories.organization()

    assert report(otlp.token(org), ai_costs__org=getattr(other, name)) is None
    assert report(otlp.token(org), resource={"ai_costs__org": other.slug}) is None


@pytest.mark.parametrize("name", ["pk", "slug"])
def test_a_token_of_all_organisations_charges_the_one_that_is_named(
    org: Organization, report: Report, name: str
) -> None:
    record = report(otlp.token(None), ai_costs__org=getattr(org, name))

    assert record is not None
    assert record.org == org


@pytest.mark.parametrize("name", ["nobody", "", "9" * 30, "a" * 500, "nul\x00"])
def test_a_token_of_all_organisations_refuses_one_that_does_not_exist(report: Report, name: str) -> None:
    record = report(otlp.token(None), ai_costs__org=name)

    if name:
        assert record is None
    else:
        assert record is not None
        assert record.org.slug == "unattributed"


def test_a_closed_organisation_is_charged_no_more(org: Organization, report: Report) -> None:
    org.closed_at = factories.NOON
    org.save()

    assert report(otlp.token(None), ai_costs__org=org.slug) is None


@pytest.mark.parametrize(
    ("attribute", "field", "is_found"),
    [
        ("ai_costs__user", "pk", True),
        ("ai_costs__user", "username", True),
        ("ai_costs__user", "email", True),
        ("user__id", "email", True),
        ("enduser__id", "username", True),
        ("langfuse__user__id", "username", True),
        ("user__email", "email", True),
        # A number of the other program's own may be the key of any of our users.
        ("user__id", "pk", False),
    ],
)
def test_a_user_is_found_among_the_members(
    org: Organization, report: Report, attribute: str, field: str, is_found: bool
) -> None:
    person = factories.member(org)
    person.email = "ann@example.org"
    person.save()

    record = report(otlp.token(org), **{attribute: getattr(person, field)})

    assert record is not None
    assert record.user_id == (person.pk if is_found else None)
    assert record.request_metadata == ({} if is_found else {"user": str(person.pk)})


def test_a_user_of_another_organisation_is_not_told(org: Organization, report: Report) -> None:
    stranger = factories.member(factories.organization())

    for name in (stranger.pk, stranger.username):
        record = report(otlp.token(org), ai_costs__user=name)
        assert record is not None
        assert record.user_id is None
        UsageRecord.objects.all().delete()


def test_an_e_mail_that_two_members_have_is_nobody_s(org: Organization, report: Report) -> None:
    for _ in range(2):
        person = factories.member(org)
        person.email = "shared@example.org"
        person.save()

    record = report(otlp.token(org), user__email="shared@example.org")

    assert record is not None
    assert (record.user_id, record.request_metadata) == (None, {"user": "shared@example.org"})


def test_nobody_sets_the_tag_of_the_token(org: Organization, report: Report) -> None:
    record = report(otlp.token(org), ai_costs__tags__service_token="another", ai_costs__tags__team="a")

    assert record is not None
    assert record.tags == {"service_token": "collector", "team": "a"}
