"""`POST /api/cron/…`: the secret, and the answers of the jobs."""

from __future__ import annotations

import hmac
from datetime import timedelta
from typing import Any

import pytest
from django.core import mail
from django.utils import timezone
from pytest_django import Settings
from rest_framework.test import APIClient

from tests.support import factories, people
from tests.support.configure import configure
from tests.support.factories import event
from tests.support.recorded import Recorded
from usage_billing.ledger import writer

pytestmark = pytest.mark.django_db

ROLES, DIGESTS = "/api/cron/update-participant-roles", "/api/cron/send-weekly-digests"


@pytest.fixture(autouse=True)
def secret(settings: Settings) -> str:
    configure(settings, CRON_SECRET="s3cret-тайна")
    return "s3cret-тайна"


def call(address: str, header: bytes | str | None) -> Any:
    if isinstance(header, bytes):
        header = header.decode("latin-1")  # as WSGI hands over the bytes of the wire
    return APIClient().post(address, headers={} if header is None else {"authorization": header})


@pytest.mark.parametrize("address", [ROLES, DIGESTS, f"{ROLES}/", f"{DIGESTS}/"])
def test_right_secret_starts_the_job(address: str, secret: str) -> None:
    answer = call(address, f"Bearer {secret}".encode())
    assert (answer.status_code, answer.json()["success"], answer.json()["data"]["failed"]) == (200, True, 0)


@pytest.mark.parametrize("address", [ROLES, DIGESTS])
@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Bearer s3cret",
        "Bearer s3cret-тайна ".encode(),
        "Bearer s3cret-тайнА".encode(),
        "bearer s3cret-тайна".encode(),
        "s3cret-тайна".encode(),
        "Basic s3cret-тайна".encode(),
        b"Bearer \xff\xfe",
    ],
)
def test_wrong_secret_is_401(
    address: str, header: bytes | str | None, simulated: dict[str, str], recorded: Recorded
) -> None:
    people.talkative(factories.organization())
    answer = call(address, header)
    assert (answer.status_code, answer["WWW-Authenticate"]) == (401, "Bearer")
    assert (answer.json()["success"], answer.json()["error"]["code"]) == (False, "authentication_failed")
    assert recorded.all() == []


@pytest.mark.parametrize("header", [None, "Bearer", "Bearer ", "Bearer None", "Bearer s3cret"])
def test_without_a_secret_set_everything_is_refused(settings: Settings, header: str | None) -> None:
    configure(settings, CRON_SECRET="")
    assert [call(address, header).status_code for address in (ROLES, DIGESTS)] == [401, 401]


def test_neither_a_token_nor_a_session_opens_it() -> None:
    client = APIClient()
    root = factories.superadmin("root")
    granted = client.post("/api/token", {"username": "root", "password": "secret"}, format="json").json()["data"]
    assert call(ROLES, f"Bearer {granted['access']}").status_code == 401
    client.force_login(root)
    assert client.post(ROLES).status_code == 401


def test_secret_is_compared_in_constant_time_and_as_bytes(monkeypatch: pytest.MonkeyPatch, secret: str) -> None:
    compared: list[tuple[Any, Any]] = []
    really = hmac.compare_digest

    def compare(given: Any, right: Any) -> bool:
        compared.append((given, right))
        return really(given, right)

    monkeypatch.setattr("ai_clients.assistants.api.cron_secret.hmac.compare_digest", compare)
    call(ROLES, "Bearer wrong")
    call(ROLES, None)
    right = f"Bearer {secret}".encode()
    assert compared == [(b"Bearer wrong", right), (b"", right)]


@pytest.mark.parametrize("method", ["get", "put", "delete"])
def test_only_post_starts_it(method: str, secret: str) -> None:
    answer = getattr(APIClient(), method)(
        ROLES, headers={"authorization": f"Bearer {secret}".encode().decode("latin-1")}
    )
    assert answer.status_code == 405


def test_roles_are_updated_for_nobody_even_with_somebodys_cookie(
    simulated: dict[str, str], recorded: Recorded, secret: str
) -> None:
    org = factories.organization()
    people.talkative(org, "Олег")
    people.talkative(org, "Анна")
    client = APIClient()
    client.force_login(factories.owner(org))
    answer = client.post(ROLES, headers={"authorization": f"Bearer {secret}".encode().decode("latin-1")})
    assert answer.json()["data"] == {
        "organizations": 1,
        "analysed": 2,
        "skipped": 0,
        "failed": 0,
        "failures": [],
    }
    assert {(given.attribution.org_id, given.attribution.user_id) for given in recorded.all()} == {(org.pk, None)}


def test_failures_are_listed(simulated: dict[str, str], secret: str) -> None:
    org = factories.organization()
    author = people.talkative(org)
    simulated["X-Simulator-Answer"] = "refused"
    data = call(ROLES, f"Bearer {secret}".encode()).json()["data"]
    assert (data["analysed"], data["failed"]) == (0, 1)
    (failure,) = data["failures"]
    assert (failure["org_id"], failure["participant_id"]) == (org.pk, author.pk)
    assert failure["error"].startswith("RefusedError: ")


def test_digests_are_sent_and_counted(simulated: dict[str, str], recorded: Recorded, secret: str) -> None:
    org = factories.organization()
    people.subscriber(factories.owner(org), org, "olga@example.com")
    writer.add([event(org=org, at=timezone.now() - timedelta(days=7), attribution={"request_type": "legal_check"})])
    header = f"Bearer {secret}".encode()
    assert call(DIGESTS, header).json()["data"]["sent"] == 1
    assert call(DIGESTS, header).json()["data"]["sent"] == 0
    assert [message.to for message in mail.outbox] == [["olga@example.com"]]
    assert recorded.one().attribution.user_id is None
