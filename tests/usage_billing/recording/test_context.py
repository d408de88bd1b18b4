"""Attribution: objects or ids, nesting, threads and tasks."""

from __future__ import annotations

import asyncio
import contextvars
import dataclasses
import threading
from typing import Any
from uuid import UUID

import numpy
import pytest
from django.contrib.auth.models import User
from django.utils.functional import SimpleLazyObject
from pytest_django import Settings

from tests.support.configure import configure
from usage_billing import usage_context
from usage_billing.models import Organization
from usage_billing.recording import Attribution, OrganizationKey, current_attribution


class Thing:
    """Any object with a primary key, as models are."""

    def __init__(self, pk: Any) -> None:
        self.pk = pk


UUID_1 = UUID("11111111-2222-3333-4444-555555555555")


def test_attribution_is_empty_outside_of_contexts() -> None:
    assert current_attribution() == Attribution()


def test_everything_given_is_kept() -> None:
    with usage_context(
        org=Organization(pk=1),
        user=User(pk=2),
        agent_id="legal_guard",
        request_type="custom_analysis",
        workflow_id=UUID_1,
        content_id=Thing(UUID_1),
        platform="telegram",
        content_type="post",
        task_type="check",
        tags={"feature": "chat"},
        metadata={"participant_id": "p"},
    ) as given:
        assert current_attribution() == given
    assert given == Attribution(
        org_id=1,
        user_id=2,
        agent_id="legal_guard",
        request_type="custom_analysis",
        workflow_id=str(UUID_1),
        content_id=str(UUID_1),
        platform="telegram",
        content_type="post",
        task_type="check",
        tags={"feature": "chat"},
        metadata={"participant_id": "p"},
    )
    assert current_attribution() == Attribution()


@pytest.mark.parametrize(("given", "kept"), [(7, 7), ("7", 7), ("seven", "seven"), (None, None)])
def test_ids_are_kept(given: Any, kept: Any) -> None:
    with usage_context(org=given, user=given):
        assert (current_attribution().org_id, current_attribution().user_id) == (kept, kept)


@pytest.mark.parametrize(("given", "kept"), [("0042", "0042"), ("007", "007"), (42, "42"), (UUID_1, str(UUID_1))])
def test_workflows_and_content_are_kept_as_written(given: Any, kept: str) -> None:
    # true-cost.md, row 15
    for value in (given, Thing(given)):
        with usage_context(workflow_id=value, content_id=value, agent_id=given):
            found = current_attribution()
        assert (found.workflow_id, found.content_id, found.agent_id) == (kept, kept, kept)


def test_a_key_with_leading_zeros_is_no_number() -> None:
    with usage_context(org="007", user="007"):
        assert (current_attribution().org_id, current_attribution().user_id) == ("007", "007")


class Text(str):
    """Text of a class of the caller's own."""

    __slots__ = ()


@pytest.mark.parametrize("given", [numpy.int64(7), Text("7"), SimpleLazyObject(lambda: User(pk=7))])
def test_keys_of_other_types_are_plain_numbers(given: Any) -> None:
    with usage_context(user=given):
        kept = current_attribution().user_id
    assert (kept, type(kept)) == (7, int)


@dataclasses.dataclass
class Foreign:
    """An object of another library, with an id."""

    id: int = 7


@pytest.mark.parametrize(
    "given", [[7], (7,), {"pk": 7}, Foreign(), Foreign, True, 7.0, Organization(pk=7), Organization()]
)
def test_a_foreign_object_is_never_taken_by_its_number(given: Any) -> None:
    with usage_context(user=3, workflow_id="w", content_id="c"), usage_context(user=given, content_id=given):
        assert (current_attribution().user_id, current_attribution().content_id) == (None, None)
    with usage_context(org=3), usage_context(org=User(pk=7) if isinstance(given, Organization) else given):
        assert isinstance(current_attribution().org_id, str)


def test_an_organisation_that_cannot_be_read_is_not_inherited(settings: Settings) -> None:
    configure(settings, ORGANIZATION_RESOLVER="tests.usage_billing.recording.test_context.failing")
    with usage_context(org=Organization(pk=3)), usage_context(org=Thing(7)):
        assert current_attribution() == Attribution(org_id="unreadable")


def failing(thing: Any) -> OrganizationKey:
    raise LookupError(thing)


def test_users_may_have_uuid_keys() -> None:
    with usage_context(user=UUID_1):
        assert current_attribution().user_id == str(UUID_1)


@pytest.mark.parametrize("given", [Thing(1), User(pk=1), UUID_1])
def test_an_organisation_of_another_kind_is_refused(given: Any) -> None:
    with usage_context(org=given):
        refused = current_attribution().org_id
    assert isinstance(refused, str)
    assert ":" in refused


def test_a_user_of_another_kind_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    with usage_context(user=Organization(pk=2)):
        assert current_attribution().user_id is None


def test_an_organisation_of_the_projects_own_is_resolved(settings: Settings) -> None:
    configure(settings, ORGANIZATION_RESOLVER="tests.usage_billing.recording.test_context.resolved")
    with usage_context(org=Thing(7)):
        assert current_attribution() == Attribution(org_key="thing-7", org_name="Seven", org_timezone="Asia/Tokyo")
        with usage_context(org=Organization(pk=3)):
            assert current_attribution() == Attribution(org_id=3)
        with usage_context(org=5):  # with a resolver, a bare number is for the resolver too
            assert current_attribution().org_key == "thing-5"


def resolved(thing: Any) -> OrganizationKey:
    return OrganizationKey(f"thing-{getattr(thing, 'pk', thing)}", "Seven", "Asia/Tokyo")


def test_inner_values_win_and_what_is_left_out_is_inherited() -> None:
    with usage_context(org=1, agent_id="outer", metadata={"a": 1, "b": 1}):
        with usage_context(agent_id="inner", metadata={"b": 2}):
            assert current_attribution() == Attribution(org_id=1, agent_id="inner", metadata={"a": 1, "b": 2})
        assert current_attribution() == Attribution(org_id=1, agent_id="outer", metadata={"a": 1, "b": 1})


def test_the_context_ends_with_an_error_too() -> None:
    with pytest.raises(ZeroDivisionError), usage_context(org=1):
        _ = 1 / 0
    assert current_attribution() == Attribution()


def test_an_unknown_word_is_refused() -> None:
    with pytest.raises(TypeError, match="organisation"), usage_context(organisation=1):  # type: ignore[call-arg]
        pass


def test_a_thread_inherits_it_with_a_copy_of_the_context_only() -> None:
    seen: list[Attribution] = []
    with usage_context(org=1):
        with_copy = threading.Thread(
            target=contextvars.copy_context().run, args=(lambda: seen.append(current_attribution()),)
        )
        with_copy.start()
        with_copy.join()
    assert seen == [Attribution(org_id=1)]


async def test_tasks_inherit_it_and_keep_their_own() -> None:
    async def task(agent_id: str) -> Attribution:
        with usage_context(agent_id=agent_id):
            await asyncio.sleep(0.001)
            return current_attribution()

    with usage_context(org=1):
        found = await asyncio.gather(task("a"), task("b"))
    assert list(found) == [Attribution(org_id=1, agent_id="a"), Attribution(org_id=1, agent_id="b")]


@pytest.mark.anyio
async def test_a_decorated_coroutine_function_has_the_context_while_it_runs() -> None:
    @usage_context(agent_id="decorated")
    async def work() -> str:
        await asyncio.sleep(0)
        return current_attribution().agent_id

    assert await work() == "decorated"
    assert current_attribution().agent_id == ""
