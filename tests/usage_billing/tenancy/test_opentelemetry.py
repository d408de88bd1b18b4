"""The receiver finds organisations and users with the web's login, which sees no tenant's rows by itself."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from tests.support import otlp
from tests.usage_billing.tenancy.conftest import World
from usage_billing.recording import recorder
from usage_billing.recording.event import Event, decode
from usage_billing.tenancy.scope import EVERYTHING, within

pytestmark = [pytest.mark.postgres, pytest.mark.django_db(transaction=True)]
USED: dict[str, Any] = {"gen_ai__usage__input_tokens": 10, "gen_ai__usage__output_tokens": 5}


def reported(token: str, **values: Any) -> Event | None:
    """Report a call. Returns the newest event of the outbox; None if it was refused."""
    response = otlp.post(Client(), token, otlp.span(**USED, **values))
    assert response.status_code == 200
    return decode([body for _, body in recorder.outbox().read(100)][-1]) if response.content == b"{}" else None


def test_a_token_reaches_its_organisation_and_its_members_alone(as_web: World) -> None:
    with within(EVERYTHING):
        of_one, of_all = otlp.token(as_web.org), otlp.token(None)

    for name, token, given, org, user in (
        ("its own", of_one, {"ai_costs__org": as_web.org.slug}, as_web.org, None),
        ("its member", of_one, {"ai_costs__user": as_web.member.username}, as_web.org, as_web.member),
        ("a stranger", of_one, {"ai_costs__user": as_web.stranger.username}, as_web.org, None),
        ("all of them", of_all, {"ai_costs__org": as_web.other.slug}, as_web.other, None),
    ):
        event = reported(token, **given)
        assert event is not None, name
        assert (event.attribution.org_id, event.attribution.user_id) == (org.pk, user and user.pk), name
    assert reported(of_one, ai_costs__org=as_web.other.slug) is None
