"""The ledger on a real Citus cluster: `CITUS_URL=postgres://SUPERUSER@COORDINATOR:PORT/DATABASE`.

The database has the extension, and a worker or more. The tests make databases of their own on its nodes, with that
user and password, and roles with the prefix `usage_citus_test`.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import conninfo

if not os.environ.get("CITUS_URL"):
    pytest.skip("needs CITUS_URL, a Citus cluster", allow_module_level=True)

pytestmark = [pytest.mark.citus, pytest.mark.timeout(1800)]

ONE, SPREAD = "usage_citus_one", "usage_citus_spread"
"""Databases on the coordinator: one PostgreSQL, and a copy of it that is distributed."""
SHARDS = 8


@dataclass
class Cluster:
    """The nodes, the coordinator first, each as parameters of a connection."""

    nodes: Sequence[dict[str, Any]]
    outboxes: Path

    def connect(self, database: str, node: int = 0) -> psycopg.Connection[Any]:
        return psycopg.connect(**{**self.nodes[node], "dbname": database}, autocommit=True)

    def environment(self, database: str, outbox: str = "outbox") -> dict[str, str]:
        node = self.nodes[0]
        secret = f":{node['password']}" if node.get("password") else ""
        return {
            **os.environ,
            "DEBUG": "1",
            "USAGE_DRAIN": "off",
            "USAGE_ROLE_PREFIX": "usage_citus_test",
            "USAGE_OUTBOX_PATH": str(self.outboxes / outbox / "outbox"),
            "DATABASE_URL": f"postgres://{node['user']}{secret}@{node['host']}:{node['port']}/{database}",
            "DJANGO_SETTINGS_MODULE": "config.settings",
        }

    def run(self, database: str, *command: str, fails: bool = False) -> str:
        """Run Python with these arguments; return what it printed."""
        done = subprocess.run(
            [sys.executable, *command], env=self.environment(database), capture_output=True, text=True, check=False
        )
        assert (done.returncode != 0) == fails, done.stdout + done.stderr
        return done.stdout + done.stderr

    def manage(self, database: str, *command: str, fails: bool = False) -> str:
        return self.run(database, "manage.py", *command, fails=fails)

    def describe(self, database: str) -> list[Any]:
        """The columns, constraints, indexes, policies and statistics of the ledger's tables, and the next id."""
        with self.connect(database) as coordinator:
            return [
                coordinator.execute(statement).fetchall()
                for statement in (
                    "SELECT table_name, column_name, data_type, column_default, is_nullable, is_identity"
                    " FROM information_schema.columns WHERE table_name IN ('token_usage', 'token_usage_daily')"
                    " ORDER BY table_name, ordinal_position",
                    "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE contype <> 'n'"
                    " AND conrelid IN ('token_usage'::regclass, 'token_usage_daily'::regclass) ORDER BY 1",
                    "SELECT indexdef FROM pg_indexes WHERE tablename IN ('token_usage', 'token_usage_daily')"
                    " ORDER BY 1",
                    "SELECT tablename, policyname, roles, cmd, qual FROM pg_policies ORDER BY 1, 2",
                    "SELECT statistics_name FROM pg_stats_ext ORDER BY 1",
                    "SELECT last_value, is_called FROM token_usage_id_seq",
                )
            ]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster whose database `SPREAD` is complete, and not distributed yet; `ONE` is equal to it."""
    coordinator: dict[str, Any] = {
        "user": "postgres",
        "port": "5432",
        **conninfo.conninfo_to_dict(os.environ["CITUS_URL"]),
    }
    with psycopg.connect(**coordinator) as of_cluster:
        joined = of_cluster.execute(
            "SELECT nodename, nodeport FROM pg_dist_node WHERE groupid > 0 AND isactive ORDER BY nodeid"
        ).fetchall()
    workers = [{**coordinator, "host": host, "port": str(port)} for host, port in joined]
    made = Cluster([coordinator, *workers], tmp_path_factory.mktemp("outboxes"))
    home = str(coordinator["dbname"])
    _drop(made, home)
    with made.connect(home) as first:
        first.execute(f"CREATE DATABASE {ONE}")
        made.manage(ONE, "migrate", "--verbosity=0")
        made.manage(ONE, "seed_demo")
        first.execute(f"CREATE DATABASE {SPREAD} TEMPLATE {ONE}")
    for node in range(1, len(made.nodes)):
        with made.connect(home, node) as worker:
            worker.execute(f"CREATE DATABASE {SPREAD}")
        with made.connect(SPREAD, node) as worker:
            worker.execute("CREATE EXTENSION citus")
    with made.connect(SPREAD) as first:
        first.execute("CREATE EXTENSION citus")
        first.execute("SELECT citus_set_coordinator_host(%s, %s)", [coordinator["host"], int(coordinator["port"])])
        for host, port in joined:
            first.execute("SELECT citus_add_node(%s, %s)", [host, port])
    yield made
    _drop(made, home)


def _drop(cluster: Cluster, home: str) -> None:
    for node in reversed(range(len(cluster.nodes))):
        with cluster.connect(home, node) as connection:
            for name in (SPREAD, ONE):
                connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
            connection.execute("SET citus.enable_metadata_sync = off")
            for (role,) in connection.execute(
                "SELECT rolname FROM pg_roles WHERE rolname LIKE 'usage\\_citus\\_test\\_%'"
            ).fetchall():
                connection.execute("SET citus.enable_ddl_propagation = off")
                connection.execute(f"DROP ROLE {role}")


@pytest.fixture(scope="module")
def distributed(cluster: Cluster) -> Cluster:
    """The same, distributed."""
    told = cluster.manage(SPREAD, "distribute", "--dry-run", fails=True)
    assert "ALTER DATABASE usage_citus_spread SET citus.propagate_set_commands = 'local'" in told
    assert "usage_citus_test_web may not log in on " in told
    with cluster.connect(SPREAD) as coordinator:
        assert coordinator.execute("SELECT count(*) FROM citus_tables").fetchone() == (0,)
    told = cluster.manage(SPREAD, "distribute", f"--shards={SHARDS}")
    assert f"The tables have {SHARDS} shards each" in told
    assert "The rollups equal the ledger" in told
    return cluster


def test_it_can_be_repeated_and_keeps_its_shards(distributed: Cluster) -> None:
    assert "The rollups equal the ledger" in distributed.manage(SPREAD, "distribute")
    assert f"The tables have {SHARDS} shards. For 16, run" in distributed.manage(
        SPREAD, "distribute", "--shards=16", fails=True
    )
    assert "have their shards already" in distributed.manage(SPREAD, "distribute", "--dry-run")
    distributed.manage(SPREAD, "migrate", "--verbosity=0")
    with distributed.connect(SPREAD) as coordinator:
        tables = coordinator.execute("SELECT table_name::text, distribution_column FROM citus_tables ORDER BY 1")
        assert tables.fetchall() == [("token_usage", "org_id"), ("token_usage_daily", "org_id")]


def test_the_answers_are_those_of_one_postgresql_and_a_tenants_pages_ask_one_shard(
    distributed: Cluster, tmp_path: Path
) -> None:
    program = ("-m", "tests.support.citus_answers")
    of_one, of_cluster = tmp_path / "one", tmp_path / "cluster"
    distributed.run(ONE, *program, str(of_one))
    distributed.run(SPREAD, *program, str(of_cluster), str(of_one))
    one, spread = json.loads(of_one.read_text()), json.loads(of_cluster.read_text())
    assert one.keys() == {"superadmin", "owner", "member"}
    for role, answers in one.items():
        assert len(answers) > 150
        # Forecasts grow with the time of day.
        shown = {
            address: [answer[name] for name in ("status", "location", "body")] for address, answer in answers.items()
        }
        differ = [
            address
            for address, answer in shown.items()
            if "budgets" not in address
            and answer != [spread[role][address][name] for name in ("status", "location", "body")]
        ]
        assert differ == []
        assert sum(answer["status"] == 200 for answer in answers.values()) > 150
    for role in ("owner", "member"):
        assert {address: answer["broad"] for address, answer in spread[role].items() if answer["broad"]} == {}


def test_a_scope_that_injected_sql_sets_shows_nothing(distributed: Cluster) -> None:
    with distributed.connect(SPREAD) as web, web.transaction():
        web.execute("SET LOCAL ROLE usage_citus_test_web")
        assert web.execute("SELECT count(*) FROM token_usage").fetchone() == (0,)
        web.execute(f"SET LOCAL app.scope = '1|{{1}}|{{}}|t|9999999999|{'0' * 64}'")
        assert web.execute("SELECT count(*) FROM token_usage WHERE org_id = 1").fetchone() == (0,)


def test_a_worker_that_lets_a_role_in_no_longer_is_found_and_mended(distributed: Cluster) -> None:
    check = ("check", "--deploy", "--database", "default")
    assert "usage_billing.E041" not in distributed.manage(SPREAD, *check)
    with distributed.connect(SPREAD, 1) as worker:
        worker.execute("SET citus.enable_alter_role_propagation = off")
        worker.execute("ALTER ROLE usage_citus_test_web NOLOGIN")
    told = distributed.manage(SPREAD, *check, fails=True)
    assert "usage_billing.E041" in told
    assert "usage_citus_test_web may not log in on" in told
    distributed.manage(SPREAD, "distribute")
    assert "usage_billing.E041" not in distributed.manage(SPREAD, *check)


# ── Writers ──────────────────────────────────────────────────────────────────────────────────────────────────────


def fill(cluster: Cluster, outboxes: int, events: int) -> None:
    cluster.run(SPREAD, "-m", "tests.support.citus_events", str(cluster.outboxes), str(outboxes), str(events))


def drains(cluster: Cluster, outboxes: int, *options: str) -> list[subprocess.Popen[str]]:
    return [
        subprocess.Popen(
            [sys.executable, "manage.py", "drain_usage", *options],
            env=cluster.environment(SPREAD, str(number)),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for number in range(outboxes)
    ]


def calls(cluster: Cluster) -> int:
    with cluster.connect(SPREAD) as coordinator:
        row = coordinator.execute("SELECT count(*) FROM token_usage").fetchone()
    assert row is not None
    return int(row[0])


def test_four_drains_wait_for_no_lock(distributed: Cluster) -> None:
    before, waits, samples = calls(distributed), Counter[str](), 0
    fill(distributed, 4, 10_000)
    running = drains(distributed, 4)
    nodes = [distributed.connect(SPREAD, node) for node in range(len(distributed.nodes))]
    while any(drain.poll() is None for drain in running):
        for node in nodes:
            for kind, event in node.execute(
                "SELECT wait_event_type, wait_event FROM pg_stat_activity WHERE datname = current_database()"
                " AND state = 'active' AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
            ).fetchall():
                samples += 1
                waits[f"{kind}:{event}"] += kind == "Lock" and event != "extend"
        time.sleep(0.05)
    for each in (*nodes,):
        each.close()
    assert ["Drained 10000 events" in drain.communicate()[0] for drain in running] == [True] * 4
    assert calls(distributed) == before + 40_000
    assert samples > 20
    assert sum(waits.values()) < samples / 20, waits
    distributed.manage(SPREAD, "check_usage")


def test_thirty_rebuilds_beside_writers_repair_nothing(distributed: Cluster) -> None:
    before = calls(distributed)
    fill(distributed, 2, 60_000)
    running = drains(distributed, 2)
    told = distributed.run(SPREAD, "-m", "tests.support.citus_rebuilds", "30")
    assert re.findall(r"Wrong rows: (\d+)", told) == ["0"] * 30
    assert ["Drained 60000 events" in drain.communicate()[0] for drain in running] == [True] * 2
    assert calls(distributed) == before + 120_000


def test_broken_connections_to_the_workers_lose_nothing(distributed: Cluster) -> None:
    """Each worker ends all its sessions, again and again, wherever their transactions are."""
    before, has_ended = calls(distributed), threading.Event()
    fill(distributed, 2, 20_000)

    def break_connections() -> None:
        while not has_ended.wait(2):
            for node in range(1, len(distributed.nodes)):
                with distributed.connect(SPREAD, node) as worker:
                    worker.execute(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
                        " AND application_name LIKE 'citus_internal%'"
                    )

    breaker = threading.Thread(target=break_connections)
    breaker.start()
    running = drains(distributed, 2, "--follow")
    deadline = time.monotonic() + 300
    while calls_or_none(distributed) != before + 40_000 and time.monotonic() < deadline:
        time.sleep(1)
    has_ended.set()
    breaker.join()
    for drain in running:
        drain.terminate()
    assert ["drained 20000 events" in drain.communicate()[0] for drain in running] == [True] * 2
    assert calls(distributed) == before + 40_000
    time.sleep(1)
    distributed.manage(SPREAD, "check_usage")


def calls_or_none(cluster: Cluster) -> int | None:
    try:
        return calls(cluster)
    except psycopg.Error:
        return None


# ── Everything else that changes calls, and the way back ─────────────────────────────────────────────────────────


def test_calls_are_repriced_archived_and_restored(distributed: Cluster, tmp_path: Path) -> None:
    before = calls(distributed)
    with distributed.connect(SPREAD) as coordinator:
        ((first, last),) = coordinator.execute("SELECT min(usage_date), max(usage_date) FROM token_usage").fetchall()
    month = first.replace(day=1)
    distributed.manage(SPREAD, "reprice_usage", f"--from={first}", f"--to={last}", "--rates", "--reason=test")
    archived = distributed.manage(SPREAD, "archive_usage", f"--before={last.replace(day=1)}", f"--to={tmp_path}")
    assert f"{month:%Y-%m}: " in archived
    assert calls(distributed) < before
    assert "equal the ledger and its archive" in distributed.manage(SPREAD, "check_usage")
    for found in re.findall(r"^(\d{4}-\d\d): ", archived, re.MULTILINE):
        distributed.manage(SPREAD, "restore_usage", f"--month={found}")
    assert calls(distributed) == before
    assert "The rollups equal the ledger" in distributed.manage(SPREAD, "check_usage")


def test_undistribute_brings_the_tables_back_as_they_were(distributed: Cluster) -> None:
    before = calls(distributed)
    of_spread = distributed.describe(SPREAD)
    assert "The rollups equal the ledger" in distributed.manage(SPREAD, "undistribute")
    assert calls(distributed) == before
    of_one = distributed.describe(ONE)
    back = distributed.describe(SPREAD)
    assert back[:-1] == of_one[:-1]
    assert back[-1] == of_spread[-1]  # ids go on where they were
    assert "is not distributed" in distributed.manage(SPREAD, "undistribute")
