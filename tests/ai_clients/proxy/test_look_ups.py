"""Look-ups in the database while it answers, while it does not, and while many ask at once."""

from __future__ import annotations

import asyncio
import threading

import pytest
from django.db import DatabaseError

from ai_clients.proxy import look_ups
from ai_clients.proxy.look_ups import LookUps


class Database:
    """`answer`: what it says, or the error that it raises. `silent`: it does not answer until the event is set."""

    def __init__(self) -> None:
        self.answer: str | Exception = "one"
        self.asked = 0
        self.speaks = threading.Event()
        self.speaks.set()

    def __call__(self, key: str) -> str:
        self.asked += 1
        assert self.speaks.wait(60)
        if isinstance(self.answer, Exception):
            raise self.answer
        return f"{self.answer} {key}"


@pytest.mark.anyio
async def test_a_result_holds_for_its_time() -> None:
    database = Database()
    held, fresh = LookUps(database, hold_s=60), LookUps(database, hold_s=0)
    assert [await held.get("a"), await held.get("a"), await held.get("b")] == ["one a", "one a", "one b"]
    assert database.asked == 2
    assert [await fresh.get("a"), await fresh.get("a")] == ["one a"] * 2
    assert database.asked == 4


@pytest.mark.anyio
async def test_many_that_ask_at_once_share_a_look_up() -> None:
    database = Database()
    database.speaks.clear()
    known = LookUps(database, hold_s=60)
    asking = asyncio.gather(*(known.get("a") for _ in range(50)))
    await asyncio.sleep(0)
    database.speaks.set()
    assert {*await asking} == {"one a"}
    assert database.asked == 1


@pytest.mark.anyio
async def test_the_last_result_holds_while_the_database_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    database = Database()
    known = LookUps(database, hold_s=0)
    await known.get("a")
    database.answer = DatabaseError("away")
    assert await known.get("a") == "one a"
    with pytest.raises(DatabaseError):
        await known.get("b")
    monkeypatch.setattr(look_ups, "AWAY_S", 0)
    with pytest.raises(DatabaseError):
        await known.get("a")


@pytest.mark.anyio
async def test_nobody_waits_long_for_a_database_that_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(look_ups, "PATIENCE_S", 0.01)
    database = Database()
    known = LookUps(database, hold_s=0)
    await known.get("a")
    database.speaks.clear()
    database.answer = "two"
    assert [await known.get("a"), await known.get("a")] == ["one a"] * 2
    assert database.asked == 2, "each request has begun a look-up"
    database.speaks.set()
    pending = known._pending.get("a")
    if pending is not None:
        await pending
    assert await known.get("a") == "two a"
