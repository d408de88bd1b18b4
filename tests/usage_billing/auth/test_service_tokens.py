"""Service tokens: who makes, rotates and revokes them, and whom they let in."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import OperationalError, connections
from django.utils import timezone, translation
from pytest_django import Settings

from tests.support import factories, programs
from tests.support.configure import configure
from usage_billing.auth import service_tokens
from usage_billing.auth.service_tokens import attributed, program_of
from usage_billing.budgets.access import NotAllowedError
from usage_billing.models import ServiceToken, ServiceTokenChange
from usage_billing.recording import Attribution
from usage_billing.tenancy.scope import EVERYTHING, scoped

pytestmark = pytest.mark.django_db


class Clock:
    now = 1_000_000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(service_tokens, "time", clock)
    return clock


def history(token: ServiceToken) -> list[tuple[str, str]]:
    return list(ServiceTokenChange.objects.filter(token=token).values_list("kind", "by"))


def test_a_token_is_shown_once_and_stored_as_its_digest() -> None:
    org = factories.organization(timezone="Asia/Tokyo")
    token, text = programs.token(org, "read", "ingest", allowed_models=["b", " b ", "", "a"])
    token.refresh_from_db()
    assert len(text) == 47
    assert text.startswith(token.prefix)
    assert text not in str(vars(token))
    program = program_of(text)
    assert program is not None
    assert (program.token_id, program.org_id, program.zone) == (token.pk, org.pk, "Asia/Tokyo")
    assert (token.scopes, program.allowed_models) == (["ingest", "read"], ("b", "a"))
    assert history(token) == [("created", "boss")]


@pytest.mark.parametrize("text", ["", "aic_", "aic_nobody", "Bearer aic_x", "aic_\udcff", "sk-1"])
def test_other_texts_are_nobodys(text: str) -> None:
    assert program_of(text) is None


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"name": "\t"}, "name"), ({"name": "x" * 65}, "name"), ({"name": "a\0b"}, "name"), ({"name": "a\nb"}, "name"),
        ({"name": "…other"}, "name"), ({"scopes": []}, "scopes"), ({"scopes": ["read", "admin"]}, "scopes"),
        ({"allowed_models": ["a\0"]}, "allowed_models"), ({"allowed_models": ["x" * 201]}, "allowed_models"),
        ({"allowed_models": map(str, range(101))}, "allowed_models"),
        ({"expires_at": timezone.now() - timedelta(seconds=1)}, "expires_at"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_by_field(values: dict[str, Any], field: str) -> None:
    given = {"name": "gateway", "scopes": ["read"], **values}
    with translation.override("en"), pytest.raises(ValidationError) as refused:
        service_tokens.create(scope=EVERYTHING, by="boss", org=None, **given)
    assert list(refused.value.message_dict) == [field]
    assert not ServiceToken.objects.exists()


def test_a_closed_organisation_gets_none() -> None:
    org = factories.organization()
    org.closed_at = timezone.now()
    with pytest.raises(ValidationError) as refused:
        programs.token(org)
    assert list(refused.value.message_dict) == ["org"]


def test_owners_see_and_change_those_of_their_organisation_alone() -> None:
    org, other = factories.organization(), factories.organization()
    foreign, of_all = programs.token(other)[0], programs.token(None)[0]
    with scoped(factories.owner(org)) as scope:
        own, _ = service_tokens.create(scope=scope, by="anna", name="own", org=org, scopes=["read"])
        assert list(service_tokens.visible(scope)) == [own]
        assert {change.token_id for change in service_tokens.visible_changes(scope)} == {own.pk}
        for token in (foreign, of_all):
            with pytest.raises(NotAllowedError):
                service_tokens.create(scope=scope, by="anna", name="x", org=token.org, scopes=["read"])
            with pytest.raises(NotAllowedError):
                service_tokens.rotate(token, scope=scope, by="anna")
            with pytest.raises(NotAllowedError):
                service_tokens.revoke(token, scope=scope, by="anna")
        service_tokens.revoke(own, scope=scope, by="anna")
    with scoped(factories.member(org)) as scope:
        assert not service_tokens.visible(scope)
        assert not service_tokens.visible_changes(scope)
        with pytest.raises(NotAllowedError):
            service_tokens.create(scope=scope, by="m", name="x", org=org, scopes=["read"])
    assert ServiceToken.objects.filter(revoked_at=None).count() == 2


def test_a_rotated_token_works_beside_its_successor_until_the_overlap_ends() -> None:
    org = factories.organization()
    expires_at = timezone.now() + timedelta(days=30)
    old, old_text = programs.token(org, "read", allowed_models=["a"], expires_at=expires_at)
    new, text = service_tokens.rotate(old, scope=EVERYTHING, by="anna", overlap=timedelta(hours=1))
    service_tokens.forget()
    before, after = program_of(old_text), program_of(text)
    assert before is not None
    assert after is not None
    assert (after.name, after.org_id, after.scopes, after.allowed_models) == (
        "gateway",
        org.pk,
        frozenset({"read"}),
        ("a",),
    )
    assert before.expires_at is not None
    assert timedelta(minutes=59) < before.expires_at - timezone.now() <= timedelta(hours=1)
    assert after.expires_at is not None
    assert abs(after.expires_at - expires_at) < timedelta(minutes=1)
    ServiceToken.objects.filter(pk=old.pk).update(expires_at=timezone.now())
    service_tokens.forget()
    assert (program_of(old_text), program_of(text)) == (None, after)
    assert history(old) == [("rotated", "anna"), ("created", "boss")]
    assert history(new) == [("created", "anna")]


def test_a_token_is_rotated_once_and_while_it_is_good() -> None:
    token, _ = programs.token()
    new, _ = service_tokens.rotate(token, scope=EVERYTHING, by="anna")
    assert new.expires_at is None  # the end of the old one's overlap is no lifetime
    with pytest.raises(ValidationError):
        service_tokens.rotate(token, scope=EVERYTHING, by="anna")
    service_tokens.revoke(new, scope=EVERYTHING, by="anna")
    with pytest.raises(ValidationError):
        service_tokens.rotate(new, scope=EVERYTHING, by="anna")
    assert ServiceToken.objects.count() == 2


def test_a_revoked_token_is_refused_here_at_once_and_elsewhere_within_a_second(clock: Clock) -> None:
    token, text = programs.token()
    assert program_of(text) is not None
    ServiceToken.objects.filter(pk=token.pk).update(revoked_at=timezone.now())  # by another process
    clock.now += service_tokens.RECHECK_S - 0.01
    assert program_of(text) is not None
    clock.now += 0.01
    assert program_of(text) is None
    here, text = programs.token()
    assert program_of(text) is not None
    service_tokens.revoke(here, scope=EVERYTHING, by="boss")
    service_tokens.revoke(here, scope=EVERYTHING, by="boss")
    assert program_of(text) is None
    assert history(here) == [("revoked", "boss"), ("created", "boss")]


@pytest.mark.django_db(transaction=True)
def test_a_token_that_two_people_revoke_and_rotate_at_once_has_one_end() -> None:
    token, _ = programs.token()
    begin, outcomes = threading.Barrier(4), list[str]()

    def change(action: Any) -> None:
        begin.wait()
        try:
            action(token, scope=EVERYTHING, by="boss")
            outcomes.append("done")
        except ValidationError:
            outcomes.append("refused")
        finally:
            connections.close_all()

    threads = [
        threading.Thread(target=change, args=(action,))
        for action in (service_tokens.rotate, service_tokens.rotate, service_tokens.revoke, service_tokens.revoke)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    kinds = [kind for kind, _ in history(token)]
    assert (kinds.count("revoked"), len(outcomes)) == (1, 4)
    rotations = kinds.count("rotated")
    assert rotations <= 1
    assert ServiceToken.objects.count() == 1 + rotations
    assert outcomes.count("refused") == 2 - rotations


def test_a_token_is_looked_up_once_in_a_second(
    clock: Clock, settings: Settings, django_assert_num_queries: Any
) -> None:
    configure(settings, ROW_LEVEL_SECURITY=False)
    _, text = programs.token()
    with django_assert_num_queries(2):  # and notes its use
        assert len([program_of(text) for _ in range(50)]) == 50
    clock.now += service_tokens.RECHECK_S
    with django_assert_num_queries(1):
        assert program_of(text) is not None
    assert ServiceToken.objects.get().last_used_at is not None


def test_what_is_known_needs_no_look_into_the_database(clock: Clock, django_assert_num_queries: Any) -> None:
    _, text = programs.token()
    assert service_tokens.known(text) is None
    program = program_of(text)
    with django_assert_num_queries(0):
        assert service_tokens.known(text) == program is not None
        clock.now += service_tokens.RECHECK_S
        assert service_tokens.known(text) is None


def test_while_the_database_is_away_a_good_token_is_taken_on_trust_for_an_hour(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    _, text = programs.token()
    program = program_of(text)
    asked: list[str] = []

    def away(digest: str) -> None:
        asked.append(digest)
        raise OperationalError("connection refused")

    monkeypatch.setattr(service_tokens, "_looked_up", away)
    clock.now += service_tokens.RECHECK_S
    assert [program_of(text) for _ in range(10)] == [program] * 10
    assert len(asked) == 1  # each attempt may last as long as its time-out
    clock.now += service_tokens.AWAY_RECHECK_S
    assert program_of(text) == program
    assert len(asked) == 2
    assert "the service token gateway is taken on trust" in caplog.text
    assert text not in caplog.text
    with pytest.raises(OperationalError):
        program_of(text[:-1] + ("a" if text[-1] != "a" else "b"))  # not seen before
    clock.now = 1_000_000.0 + service_tokens.AWAY_S
    with pytest.raises(OperationalError):
        program_of(text)


def test_what_has_expired_is_refused_even_on_trust(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    _, text = programs.token(expires_at=timezone.now() + timedelta(hours=1))
    assert program_of(text) is not None
    later = timezone.now() + timedelta(hours=1)
    monkeypatch.setattr("django.utils.timezone.now", lambda: later)
    assert program_of(text) is None


def test_the_token_decides_the_organisation_of_a_call_and_its_tag() -> None:
    org = factories.organization()
    own, of_all = (program_of(programs.token(each)[1]) for each in (org, None))
    assert own is not None
    assert of_all is not None
    given = Attribution(org_key="acme", org_name="Acme", tags={"service_token": "forged", "env": "prod"})
    found = attributed(given, own)
    assert (found.org_id, found.org_key, found.org_name) == (org.pk, "", "")
    assert found.tags == {"service_token": "gateway", "env": "prod"}
    found = attributed(given, of_all)
    assert (found.org_id, found.org_key, found.tags["service_token"]) == (None, "acme", "gateway")


@pytest.mark.parametrize("text", ["", "aic_", "aic_" + "x" * 1_000_000, "x" * service_tokens.LENGTH])
def test_what_has_not_the_form_of_a_token_is_not_looked_up(text: str, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0):
        assert program_of(text) is None


def test_wrong_tokens_push_no_good_one_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """While the database is away, a good one is taken on trust only if it is still remembered."""
    monkeypatch.setattr(service_tokens, "MOST_KNOWN", 3)
    _, text = programs.token()
    program = program_of(text)
    for number in range(5):
        assert program_of(f"aic_{number:043d}") is None

    assert program is not None
    assert service_tokens.known(text) == program
