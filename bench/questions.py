"""`python -m bench.questions <base address>`: reports and pages, measured once for each line on standard input.

Prints one line of JSON for each: figure → milliseconds, the median of `ASKINGS` runs.
"""

from __future__ import annotations

import http.client
import importlib.util
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import django
from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import connection
from django.test import Client
from django.utils import timezone

from bench.data import MEMBER, OWNER, PASSWORD, SUPERADMIN

ASKINGS = 5
PEOPLE = {"superadmin": SUPERADMIN, "owner": OWNER, "member": MEMBER}
BREAKDOWNS = {
    "by agent": ("agent_id",),
    "by model": ("ai_provider", "ai_model"),
    "by type": ("request_type",),
    "by user": ("user_id",),
    "by org": ("org_id",),
}
CHEAP_AGENT = "repurpose"
"""Its most expensive call costs less than most calls of other agents."""
PAGES = 10_000
CALLS_A_PAGE = 50

Figures = dict[str, float]
Ask = Callable[[Any, date], Any]


NARROWED = {
    "one agent": f"agent_id={CHEAP_AGENT}",
    "one type": "request_type=weekly_digest",
    "one model": "ai_provider=openai&ai_model=gpt-7-preview",
}
"""The rarest type, with 2 % of the calls, and the rarest model, with 1 %."""
ORDERS = ("-cost_usd", "-total_tokens", "-execution_time_ms")


def pages_of(role: str) -> dict[str, str]:
    """Name of each measured page → its address."""
    base, below = ("/superadmin/ai-costs",) * 2 if role == "superadmin" else ("/usage/", "/usage")
    narrowed = {**NARROWED, **({"one organisation": "org=1"} if role == "superadmin" else {})}
    addresses = {"overview": base, "explore": f"{below}/explore", "calls": f"{below}/calls"}
    pages = {f"page {name}": f"{address}?days=90" for name, address in addresses.items()}
    for name, address in addresses.items():
        pages |= {f"page {name} of {what}": f"{address}?days=90&{query}" for what, query in narrowed.items()}
    pages |= {f"page calls by {order}": f"{below}/calls?days=90&sort={order}" for order in ORDERS}
    pages["page explore of two groups"] = f"{below}/explore?days=90&group=ai_model&then=request_type"
    pages["page insights"] = f"{below}/insights?days=90"
    return pages


class Visitor:
    """The three people of `PEOPLE`, each with a session, at the service at `base`."""

    def __init__(self, base: str) -> None:
        self.base = urlsplit(base)
        self.http = http.client.HTTPConnection(self.base.hostname or "", self.base.port or 0)
        self.users = {role: get_user_model()._default_manager.get(username=name) for role, name in PEOPLE.items()}
        self.cookies = {role: self._session(user) for role, user in self.users.items()}

    def get(self, path: str, headers: dict[str, str]) -> None:
        self.http.request("GET", path, headers=headers)
        answer = self.http.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{path}: {answer.status} {body[:300]!r}")

    def token(self, role: str) -> str:
        credentials = json.dumps({"username": PEOPLE[role], "password": PASSWORD})
        self.http.request("POST", "/api/token", credentials, {"Content-Type": "application/json"})
        answer = json.loads(self.http.getresponse().read())
        return str(answer["data"]["access"])

    def _session(self, user: Any) -> str:
        client = Client()
        client.force_login(user)
        return f"{settings.SESSION_COOKIE_NAME}={client.cookies[settings.SESSION_COOKIE_NAME].value}"


class Questions(Visitor):
    """Connections, users and cursors that every round uses."""

    def __init__(self, base: str) -> None:
        super().__init__(base)
        self.deep = {role: self._deep(user) for role, user in self.users.items()}
        self.clickhouse = ClickHouse() if importlib.util.find_spec("chdb") else None

    def round(self) -> Figures:
        figures: Figures = {}
        for role in PEOPLE:
            figures |= {f"{role}, {name}": self._in_database(role, ask) for name, ask in self._asked(role).items()}
        return figures | self._over_calls() | self._requests()

    # ── In the database ──────────────────────────────────────────────────────────────────────────────────────

    def _asked(self, role: str) -> dict[str, Ask]:
        from usage_billing import reports
        from usage_billing.reports import Period

        def period(today: date) -> Period:
            return Period.of_days(90, today)

        def breakdown(*by: str, **filters: Any) -> Ask:
            return lambda scope, today: reports.breakdown(scope, by, period(today), today, filters=filters)

        def by_cost(**filters: Any) -> Ask:
            return lambda scope, today: reports.page(
                scope, period=period(today), filters=filters, ordering="-cost_usd", limit=CALLS_A_PAGE
            )

        def page(scope: Any, today: date) -> Any:
            return reports.page(scope, period=period(today), limit=CALLS_A_PAGE, after=self.deep[role])

        asked: dict[str, Ask] = {
            "summary": reports.summary,
            "time series": lambda scope, today: reports.time_series(scope, period(today), today),
            **{name: breakdown(*by) for name, by in BREAKDOWNS.items() if name != "by org" or role == "superadmin"},
            "by model, of one agent": breakdown("ai_provider", "ai_model", agent_id=CHEAP_AGENT),
            "by user, of one agent": breakdown("user_id", agent_id=CHEAP_AGENT),
            "first 50 by cost": by_cost(),
            "first 50 by cost, of one agent": by_cost(agent_id=CHEAP_AGENT),
            "last 50": lambda scope, today: list(reports.calls(scope, period=period(today))[:CALLS_A_PAGE]),
            "page 10,000": page,
        }
        return asked

    def _in_database(self, role: str, ask: Ask) -> float:
        from usage_billing.tenancy.scope import scoped

        times = []
        with scoped(self.users[role]) as scope:
            today = scope.today(timezone.now())
            for _ in range(ASKINGS):
                with _timed() as statements:
                    ask(scope, today)
                times.append(sum(statements))
        return statistics.median(times) * 1000

    def _deep(self, user: Any) -> tuple[Any, int]:
        """The cursor of page 10,000; with fewer calls, the cursor in their middle."""
        from usage_billing import reports
        from usage_billing.tenancy.scope import scoped

        with scoped(user) as scope:
            (total,) = reports.totals(scope, period=reports.Period.of_days(90, scope.today(timezone.now())))
            depth = min(PAGES * CALLS_A_PAGE, total["requests_count"] // 2)
            call = reports.calls(scope)[depth]
        return call.created_at, call.pk

    # ── The same totals, added up from the calls ─────────────────────────────────────────────────────────────

    def _over_calls(self) -> Figures:
        from usage_billing import reports

        figures: Figures = {}
        for role in ("superadmin", "owner"):
            for name, by in {"total": (), "by model": BREAKDOWNS["by model"]}.items():

                def of_totals(scope: Any, today: date, by: tuple[str, ...] = by) -> Any:
                    return reports.totals(scope, by=by, period=reports.Period.of_days(90, today))

                statement = _raw(by, self._org() if role == "owner" else None)
                figures[f"{role}, {name}: totals"] = self._in_database(role, of_totals)
                figures[f"{role}, {name}: calls"] = _time(partial(_run, statement), 1)
                if self.clickhouse:
                    figures[f"{role}, {name}: ClickHouse"] = _time(partial(self.clickhouse.ask, statement), ASKINGS)
        return figures

    def _org(self) -> int:
        from usage_billing.models import Membership

        return Membership.objects.get(user=self.users["owner"]).org_id

    # ── Over HTTP ────────────────────────────────────────────────────────────────────────────────────────────

    def _requests(self) -> Figures:
        figures: Figures = {}
        for role in PEOPLE:
            self.http.close()  # the server has ended it, idle as it was
            token = {"Authorization": f"Bearer {self.token(role)}"}  # good for minutes, which a round may take
            session = {"Cookie": self.cookies[role]}
            usage = "/api/billing/usage/tokens"
            for name, path, headers in (
                ("summary, token", f"{usage}/summary", token),
                ("summary, session", f"{usage}/summary", session),
                ("history, token", f"{usage}/history?days=90", token),
                ("by model, token", f"{usage}/by-model?period_days=90", token),
                ("last 50, token", f"{usage}/detailed?limit=50", token),
                *((name, path, session) for name, path in pages_of(role).items()),
            ):
                figures[f"{role}, HTTP {name}"] = _time(partial(self.get, path, headers), ASKINGS)
        return figures


class ClickHouse:
    """The calls of this database in ClickHouse's engine, in this process; only the columns that totals add up."""

    def __init__(self) -> None:
        from chdb.session import Session

        from usage_billing.ledger import rollup

        columns = {name: _KINDS.get(name, "String") for name in rollup.DAILY.key[1:]}
        columns |= dict.fromkeys(rollup.SUMMED, "Int64")
        columns |= dict.fromkeys(("cost_usd", "cost_rub"), "Nullable(Decimal(24, 12))")
        self.directory = tempfile.TemporaryDirectory()
        file = Path(self.directory.name) / "calls.csv"
        with file.open("wb") as out, connection.cursor() as cursor:
            names = ", ".join("coalesce(user_id, 0)" if name == "user_id" else name for name in columns)
            with cursor.copy(f"COPY (SELECT {names} FROM token_usage) TO STDOUT (FORMAT csv)") as lines:  # noqa: S608 - our own names
                for line in lines:
                    out.write(line)
        kinds = ", ".join(f"{name} {kind}" for name, kind in columns.items())
        self.session = Session(str(Path(self.directory.name) / "clickhouse"))
        self.session.query("CREATE DATABASE bench")
        self.session.query(f"CREATE TABLE bench.token_usage ({kinds}) ENGINE = MergeTree ORDER BY (org_id, usage_date)")
        self.session.query(f"INSERT INTO bench.token_usage SELECT * FROM file('{file}', 'CSV', '{kinds}')")  # noqa: S608 - our own names
        self.session.query("OPTIMIZE TABLE bench.token_usage FINAL")

    def ask(self, statement: str) -> None:
        self.session.query(statement.replace("FROM token_usage", "FROM bench.token_usage"), "CSV")


_KINDS = {"usage_date": "Date", "org_id": "Int64", "user_id": "Int64"}


def _raw(by: tuple[str, ...], org_id: int | None) -> str:
    """Totals as SQL over single calls, for both databases."""
    from usage_billing.ledger import rollup

    sums = [
        "count(*)",
        *(f"sum(CASE WHEN {which} THEN 1 ELSE 0 END)" for which in _COUNTED),
        *(f"sum({name})" for name in rollup.SUMMED),
    ]
    since = timezone.localdate() - timedelta(days=89)
    where = f"usage_date >= '{since}'" + (f" AND org_id = {org_id}" if org_id else "")
    grouped = f" GROUP BY {', '.join(by)}" if by else ""
    return f"SELECT {', '.join([*by, *sums])} FROM token_usage WHERE {where}{grouped}"  # noqa: S608 - our own names


_COUNTED = ("status = 'failed'", "cost_usd IS NULL", "cost_rub IS NULL")


def _run(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        cursor.fetchall()


def _time(run: Callable[[], Any], times: int) -> float:
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        run()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken) * 1000


@contextmanager
def _timed() -> Iterator[list[float]]:
    """Seconds of each statement within the block, until its last row is fetched."""
    taken: list[float] = []

    def timed(execute: Any, *arguments: Any) -> Any:
        began = time.perf_counter()
        try:
            return execute(*arguments)
        finally:
            taken.append(time.perf_counter() - began)

    with connection.execute_wrapper(timed):
        yield taken


def main() -> None:
    django.setup()
    questions = Questions(sys.argv[1])
    questions.round()  # warm-up
    for _ in sys.stdin:
        print(json.dumps(questions.round()), flush=True)


if __name__ == "__main__":
    main()
