"""Executors and `with_usage_context`: one pool for many organisations, threads and processes."""

from __future__ import annotations

import asyncio
import pickle
import threading
from concurrent import futures
from pathlib import Path
from typing import Any

import pytest

from usage_billing import usage_context, with_usage_context
from usage_billing.recording import Attribution, current_attribution
from usage_billing.recording.carrying import as_json, from_json
from usage_billing.recording.executors import ProcessPoolExecutor, ThreadPoolExecutor


def org(_: object = None) -> Any:
    """The organisation of a call made here. At module level, so that it can be pickled."""
    return current_attribution().org_id


def metadata() -> dict[str, Any]:
    return current_attribution().metadata


def fail() -> None:
    raise LookupError(org())


def test_one_pool_for_many_organisations_leaks_none() -> None:
    # https://github.com/ambient-code/platform/issues/997
    with ThreadPoolExecutor(max_workers=1) as pool:
        with usage_context(org=1):
            first = pool.submit(org)
            assert list(pool.map(org, range(3))) == [1, 1, 1]
        with usage_context(org=2):
            second = pool.submit(org)
            with pytest.raises(LookupError, match="2"):
                pool.submit(fail).result()
        assert [first.result(), second.result(), pool.submit(org).result()] == [1, 2, None]
        assert futures.Future is type(first)


def test_processes() -> None:
    with ProcessPoolExecutor(max_workers=1) as pool:
        with usage_context(org=1, metadata={"path": Path("/x"), "lock": threading.Lock(), "late": lambda: 1}):
            assert pool.submit(org).result() == 1
            assert list(pool.map(org, range(4), chunksize=2)) == [1] * 4
            carried = pool.submit(metadata).result()
            assert carried.keys() == {"path", "lock"}
            assert carried["path"] == "/x"
        with usage_context(org=2):
            assert pool.submit(org).result() == 2
        assert pool.submit(org).result() is None


def test_a_thread_and_a_pool_of_somebody_elses() -> None:
    seen: list[Any] = []

    def note() -> None:
        seen.append(org())

    with usage_context(org=1):
        thread = threading.Thread(target=with_usage_context(note))
        thread.start()
        thread.join()
        with futures.ThreadPoolExecutor(max_workers=1) as pool:
            seen += pool.map(with_usage_context(org), range(2))
            bare = pool.submit(org).result()
    assert seen == [1, 1, 1]
    assert bare is None


async def test_the_executor_of_a_loop() -> None:
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(max_workers=1) as pool:
        with usage_context(org=1):
            assert await loop.run_in_executor(pool, org) == 1
            assert await loop.run_in_executor(None, with_usage_context(org)) == 1
            assert await asyncio.to_thread(org) == 1
        assert await loop.run_in_executor(pool, org) is None


async def test_inside_a_generator_the_function_is_certain() -> None:
    async def generator() -> Any:
        with usage_context(org=1):
            yield await asyncio.to_thread(with_usage_context(org))
            yield await asyncio.create_task(with_usage_context(async_org)())

    with usage_context(org=2):
        async for seen in generator():
            assert seen == 1
            assert await asyncio.to_thread(with_usage_context(org)) == 2


async def async_org() -> Any:
    await asyncio.sleep(0)
    return org()


def test_a_pickled_function_keeps_its_attribution() -> None:
    with usage_context(org=1, user=2, workflow_id="0042", metadata={"step": 1}, tags={"env": "prod"}):
        carried = pickle.dumps(with_usage_context(current_attribution))
    assert pickle.loads(carried)() == Attribution(  # noqa: S301 - our own
        org_id=1, user_id=2, workflow_id="0042", metadata={"step": 1}, tags={"env": "prod"}
    )


def test_another_queue_carries_a_dict_of_json() -> None:
    with usage_context(org=1, agent_id="bot"):
        carried = as_json(current_attribution())
    assert carried == {"org_id": 1, "agent_id": "bot"}
    assert from_json(carried) == Attribution(org_id=1, agent_id="bot")
    assert from_json({"org_id": [1]}) == Attribution()
