"""Buttons of the admin that call a provider say when the limit of runs is reached."""

from __future__ import annotations

import pytest
from django.contrib.messages import get_messages
from django.urls import reverse
from pytest_django import Settings

from tests.support import admin_client, factories, people
from tests.support.agent_forms import sent
from tests.support.configure import configure
from tests.support.recorded import Recorded

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("button", ["participant", "question", "summary", "agent"])
def test_over_the_limit_no_provider_is_called(
    simulated: dict[str, str], recorded: Recorded, settings: Settings, button: str
) -> None:
    settings.LANGUAGE_CODE = "en"
    configure(settings, RUNS_PER_ORGANIZATION="1/day")
    client, org = admin_client.superadmin(), factories.organization()
    author, piece = people.talkative(org), people.piece(org)
    address, form = {
        "participant": (reverse("admin:ai_assistants_participant_enrich", args=[author.pk]), {}),
        "question": (reverse("admin:ai_assistants_custom_analysis"), {"question": "?", "content_ids": [str(piece.pk)]}),
        "summary": (reverse("admin:ai_assistants_digest_summary", args=[org.pk]), {}),
        "agent": (
            reverse("admin:ai_assistants_contentpiece_run_agent", args=[piece.pk, "legal_guard"]),
            sent({"text": piece.text}),
        ),
    }[button]
    client.post(address, form)
    calls = len(recorded.all())
    assert calls > 0
    answer = client.post(address, form)
    assert answer.status_code in (200, 302)
    assert "Too many runs of the AI" in " ".join(map(str, get_messages(answer.wsgi_request))) + answer.content.decode()
    assert len(recorded.all()) == calls
