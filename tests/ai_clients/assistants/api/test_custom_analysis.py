"""`POST /api/custom-analysis`."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from django.contrib.auth.models import User
from rest_framework.test import APIClient

from tests.support import factories, people
from tests.support.recorded import Recorded

pytestmark = pytest.mark.django_db


def ask(person: User, slash: str = "", **body: Any) -> Any:
    client = APIClient()
    client.force_authenticate(person)
    return client.post(f"/api/custom-analysis{slash}", body, format="json")


@pytest.mark.parametrize("slash", ["", "/"])
def test_member_gets_an_answer_with_its_evidence(simulated: dict[str, str], recorded: Recorded, slash: str) -> None:
    org = factories.organization()
    member, message, piece = factories.member(org), people.message(people.participant(org)), people.piece(org)
    simulated["X-Simulator-Text"] = people.answer(answer="О картах.", is_answered=True, evidence=[2, 1])
    answer = ask(member, slash, question="О чём?", message_ids=[message.pk], content_ids=[str(piece.pk)])
    assert (answer.status_code, answer.json()) == (
        200,
        {
            "success": True,
            "data": {
                "answer": "О картах.",
                "is_answered": True,
                "evidence": [{"type": "content", "id": str(piece.pk)}, {"type": "message", "id": str(message.pk)}],
            },
        },
    )
    given = recorded.one().attribution
    assert (given.org_id, given.user_id, given.request_type) == (org.pk, member.pk, "custom_analysis")


def test_texts_of_others_are_404(simulated: dict[str, str], recorded: Recorded) -> None:
    org, other = factories.organization(), factories.organization()
    foreign, piece = people.message(people.participant(other)), people.piece(other)
    member = factories.member(org)
    answers = [
        ask(member, question="?", message_ids=[foreign.pk]),
        ask(member, question="?", content_ids=[str(piece.pk)]),
        ask(member, question="?", content_ids=[str(uuid.uuid4())]),
        ask(factories.user(), question="?", message_ids=[foreign.pk]),
    ]
    assert [answer.status_code for answer in answers] == [404] * 4
    assert recorded.all() == []


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "question"),
        ({"question": ""}, "question"),
        ({"question": "x" * 2001, "message_ids": [1]}, "question"),
        ({"question": "?"}, "message_ids"),
        ({"question": "?", "message_ids": ["a"]}, "message_ids"),
        ({"question": "?", "message_ids": list(range(201))}, "message_ids"),
        ({"question": "?", "content_ids": ["a"]}, "content_ids"),
    ],
)
def test_wrong_questions_are_400_at_their_field(
    simulated: dict[str, str], recorded: Recorded, body: dict[str, Any], field: str
) -> None:
    answer = ask(factories.member(factories.organization()), **body)
    assert (answer.status_code, list(answer.json()["error"]["details"])) == (400, [field])
    assert recorded.all() == []


def test_texts_of_several_organisations_are_400_even_for_a_superadmin(
    simulated: dict[str, str], recorded: Recorded
) -> None:
    ids = [people.message(people.participant(factories.organization())).pk for _ in range(2)]
    assert ask(factories.superadmin(), question="?", message_ids=ids).status_code == 400
    assert recorded.all() == []


def test_a_refusal_is_422_and_recorded(simulated: dict[str, str], recorded: Recorded) -> None:
    org = factories.organization()
    simulated["X-Simulator-Answer"] = "refused"
    answer = ask(factories.member(org), question="?", message_ids=[people.message(people.participant(org)).pk])
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "refused")
    assert recorded.one().attribution.request_type == "custom_analysis"


def test_nobody_is_401() -> None:
    assert APIClient().post("/api/custom-analysis", {"question": "?"}, format="json").status_code == 401
