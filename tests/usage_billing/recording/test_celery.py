"""Contexts of Celery tasks: a real worker, in processes and in threads, and its broker in a folder."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from django.core import signing
from django.core.exceptions import ImproperlyConfigured

from usage_billing import usage_context
from usage_billing.recording import Attribution, celery, current_attribution

ROOT = Path(__file__).parents[3]

SEND = """
from celery import chain, chord, group
from tests.support.celery_tasks import app, call, fail, parent, retried, slow
from usage_billing import usage_context

{slow}
call.delay("before")
with usage_context(org=1, user=5, workflow_id="0042", metadata={{"page": 3, "late": lambda: 1}}):
    call.delay("delay")
    call.apply_async(("countdown",), countdown=0.3)
    chain(call.s("chain-1"), call.s("chain-2"), call.s("chain-3")).delay()
    group(call.s("group-1"), call.s("group-2")).delay()
    fail.delay("fail")
    retried.delay("retried")
    parent.delay("parent")
    call.apply(args=["eager"])
with usage_context(org=2):
    chord([call.s("header-1"), call.s("header-2")], call.s("chord")).delay()
    call.apply_async(("linked",), link=call.s("link"))
    app.send_task("call", ("by-name",))
call.delay("after")
call.apply_async(("forged",), headers={{"usage_context": "eyJvcmdfaWQiOjN9:forged"}})
"""
EXPECTED = {
    "before": "None", "after": "None", "forged": "None",
    "delay": "1", "countdown": "1", "chain-1": "1", "chain-2": "1", "chain-3": "1", "group-1": "1", "group-2": "1",
    "fail": "1", "retried-0": "1", "retried-1": "1", "retried-2": "1",
    "parent": "1", "parent-child": "1", "parent-other": "77", "parent-eager": "77", "eager": "1",
    "header-1": "2", "header-2": "2", "chord": "2", "linked": "2", "link": "2", "by-name": "2",
}  # fmt: skip


@pytest.mark.timeout(240)
@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_a_worker_charges_each_task_to_the_context_that_sent_it(pool: str, tmp_path: Path) -> None:
    broker = tmp_path / "broker"
    for folder in (broker / "control", broker / "results"):
        folder.mkdir(parents=True)
    environment = {**os.environ, "BROKER": str(broker), "PYTHONPATH": str(ROOT)}
    expected = dict(EXPECTED)
    slow = ""
    if pool == "prefork":  # threads have no soft time limit
        expected["slow"] = "3"
        slow = "with usage_context(org=3): slow.delay('slow')"
    subprocess.run([sys.executable, "-c", SEND.format(slow=slow)], cwd=ROOT, env=environment, check=True)
    command = ("celery", "-A", "tests.support.celery_tasks", "worker", f"--pool={pool}", "--concurrency=2")
    log_path = tmp_path / "celery.log"
    with log_path.open("wb") as log:
        worker = subprocess.Popen(
            [sys.executable, "-m", *command, "--without-gossip", "--without-mingle", "--without-heartbeat"],
            cwd=ROOT, env=environment, stdout=log, stderr=log,
        )  # fmt: skip
        until = time.monotonic() + 150
        while worker.poll() is None and time.monotonic() < until and len(account(broker)) < len(expected):
            time.sleep(0.2)
        worker.terminate()
        worker.wait(60)
    assert account(broker) == expected, log_path.read_text()[-3000:]


def account(broker: Path) -> dict[str, str]:
    path = broker / "account"
    lines = path.read_text().splitlines() if path.exists() else []
    return dict(line.split() for line in lines)


@pytest.fixture
def app() -> Any:
    celery.install()
    celery.install()  # a second time: changes nothing
    return Celery("memory", broker="memory://", backend="cache+memory://", set_as_current=False)


def published(app: Any, **options: Any) -> dict[str, Any]:
    """Publish a task, and return the headers of its message."""
    app.send_task("anything", **options)
    with app.connection_for_read() as connection:
        message = connection.SimpleQueue("celery").get(timeout=5)
        message.ack()
    return dict(message.headers)


def test_only_ids_and_words_travel(app: Any) -> None:
    with usage_context(org=1, workflow_id="0042", metadata={"n": 1, "object": Path("/x"), "late": lambda: 1}):
        headers = published(app)
    assert celery._read(headers[celery.HEADER], headers["id"]) == Attribution(
        org_id=1, workflow_id="0042", metadata={"n": 1, "object": "/x"}
    )
    assert celery.HEADER not in published(app)


def test_the_header_is_bounded(app: Any) -> None:
    with usage_context(org=1, agent_id="a" * 10_000, metadata={str(number): "m" * 1_000 for number in range(50)}):
        headers = published(app)
    assert len(headers[celery.HEADER]) < 2 * celery.LONGEST
    read = celery._read(headers[celery.HEADER], headers["id"])
    assert (read.org_id, read.metadata) == (1, {})


@pytest.mark.parametrize(
    "forge",
    [
        lambda signed: 3,
        lambda signed: b"\xff",
        lambda signed: {"org_id": 3},
        lambda signed: signed[:-1],
        lambda signed: signing.Signer(key="another", salt="usage_billing.recording.celery:id").sign_object(
            {"org_id": 3}
        ),
        lambda signed: signing.Signer(salt="usage_billing.recording.celery:id").sign_object(["org_id"]),
        lambda signed: signing.Signer(salt="usage_billing.recording.celery:id").sign_object({"org_id": {"$gt": 0}}),
        lambda signed: signing.Signer(salt="usage_billing.recording.celery:other").sign_object({"org_id": 3}),
    ],
)
def test_a_forged_or_unreadable_header_is_ignored_and_logged(
    app: Any, forge: Any, caplog: pytest.LogCaptureFixture
) -> None:
    signed = signing.Signer(salt="usage_billing.recording.celery:id").sign_object({"org_id": 2})
    assert celery._read(signed, "id") == Attribution(org_id=2)
    assert celery._read(forge(signed), "id") == Attribution()
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_an_eager_task_is_part_of_its_caller(app: Any) -> None:
    app.conf.task_always_eager = True

    @app.task  # type: ignore[untyped-decorator]
    def call() -> Any:
        return current_attribution().org_id

    assert call.delay().get() is None
    with usage_context(org=4):
        assert call.delay().get() == 4
    assert current_attribution() == Attribution()


def test_installing_without_django_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(celery, "has_django_settings", lambda: False)
    with pytest.raises(ImproperlyConfigured, match="DJANGO_SETTINGS_MODULE"):
        celery.install()
