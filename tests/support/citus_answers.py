"""Asks the API and the pages as three roles, and prints the answers: the same on one PostgreSQL as on a Citus cluster.

    python -m tests.support.citus_answers ANSWERS [ADDRESSES]    ADDRESSES: the answers of an earlier run

Without ADDRESSES it follows the links of the pages. DATABASE_URL: a ledger with the demo data.
"""

from __future__ import annotations

import html
import json
import re
import sys
import time
from collections import deque
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urljoin, urlsplit

import django

PAGES = 120
"""Pages that are asked of each role, besides the API's endpoints."""
PEOPLE = {"superadmin": "admin", "owner": "owner", "member": "member"}
VARIES = (
    (re.compile(r'(csrfmiddlewaretoken" value="|"csrfToken": ?")[^"]+'), r"\1"),
    (re.compile(r'nonce="[^"]+"'), "nonce"),
    (re.compile(r"(\d+ (second|minute)s? ago|now)"), "ago"),
)
"""What differs from request to request."""
LEFT_OUT = re.compile(
    r"logout|password|/static/|/i18n/|/account|jsi18n|/api/(docs|schema)|export|format=|login|/history/"
)


def main(answers: Path, addresses: Path | None) -> None:
    django.setup()
    from django.conf import settings
    from django.contrib.auth.models import User
    from django.test import Client

    from usage_billing.models import Membership

    # Citus then tells each statement that it sends to a node. One PostgreSQL ignores an unknown setting.
    settings.DATABASES["default"]["OPTIONS"]["options"] = "-c citus.log_remote_commands=on"
    settings.SECURE_SSL_REDIRECT = False
    settings.ALLOWED_HOSTS = ["testserver"]
    biggest = Membership.objects.order_by("org_id").values_list("org_id", flat=True)[0]
    of_org = Membership.objects.filter(org_id=biggest).order_by("user_id")
    people = {
        "superadmin": User.objects.filter(is_superuser=True).order_by("pk")[0],
        "owner": of_org.filter(role="owner")[0].user,
        "member": of_org.filter(role="member")[0].user,
    }
    known = None if addresses is None else json.loads(addresses.read_text())
    found: dict[str, Any] = {}
    for role, person in people.items():
        client = Client(raise_request_exception=False)
        client.force_login(person)
        client.get("/")
        found[role] = {}
        to_ask = deque(known[role] if known else [*_api(biggest), "/", *_starts(role)])
        seen, pages = set(to_ask), 0
        while to_ask:
            address = to_ask.popleft()
            watched = Watch()
            began = time.perf_counter()
            with watched:
                answer = client.get(address)
                body = (b"".join(answer) if answer.streaming else answer.content).decode(errors="replace")
            took = time.perf_counter() - began
            text = body
            for pattern, replacement in VARIES:
                text = pattern.sub(replacement, text)
            found[role][address] = {
                "status": answer.status_code, "body": text, "s": took, "location": answer.headers.get("Location", ""),
                "broad": watched.broad,
            }  # fmt: skip
            if known is None and answer.headers.get("Content-Type", "").startswith("text/html"):
                for link in re.findall(r'href="([^"#]+)', body):
                    target = urlsplit(urljoin(address, html.unescape(link)))
                    path = target.path + (f"?{target.query}" if target.query else "")
                    if not target.netloc and path not in seen and not LEFT_OUT.search(path) and pages < PAGES:
                        seen.add(path)
                        pages += 1
                        to_ask.append(path)
    answers.write_text(json.dumps(found))


class Watch:
    """Notes the shards that each statement of a request reads. EXPLAIN would connect as roles that do not log in."""

    notices: ClassVar[list[str]] = []
    watched: ClassVar[Any] = None

    def __init__(self) -> None:
        self.broad: list[str] = []
        """The statements that Citus sends to more than one shard of a table."""

    def __enter__(self) -> Watch:
        from django.db import connection

        self.context = connection.execute_wrapper(self)
        self.context.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self.context.__exit__(*error)

    def __call__(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        driver = context["connection"].connection
        if driver is not Watch.watched:
            Watch.watched = driver
            driver.add_notice_handler(lambda notice: Watch.notices.append(notice.message_primary or ""))
        Watch.notices.clear()
        answer = execute(sql, params, many, context)
        shards = {
            found for notice in Watch.notices for found in re.findall(r"\b(token_usage(?:_daily)?)_(\d+)\b", notice)
        }
        if len(shards) > len({table for table, _ in shards}):
            self.broad.append(sql)
        return answer


def _starts(role: str) -> list[str]:
    base = "/superadmin/ai-costs" if role == "superadmin" else "/usage"
    below = ("", "/explore", "/calls", "/insights", "/budgets", "/alerts", "/tokens")
    admin = ["/superadmin/", "/superadmin/usage_billing/usagerecord/"] if role == "superadmin" else []
    return [f"{base}{each}?days={days}" for each in below for days in (7, 30, 90)] + admin


def _api(org_id: int) -> list[str]:
    from tests.support.api_world import BILLING, REPORTS
    from usage_billing.models import UsageRecord

    calls = UsageRecord.objects.order_by("pk")
    call = calls.filter(org_id=org_id)[0]
    narrow = [
        "", f"org={org_id}", f"user={call.user_id}", f"agent_id={call.agent_id}", f"ai_model={call.ai_model}",
        "status=failed", f"request_type={call.request_type}",
    ]  # fmt: skip
    found = [f"{BILLING}/summary?{each}" for each in narrow]
    found += [f"{BILLING}/{name}?days=60&{each}" for name in REPORTS if name != "summary" for each in narrow]
    found += [
        f"{BILLING}/detailed?limit=7&offset={offset}&ordering={sign}{column}"
        for column in ("created_at", "cost_usd", "total_tokens", "execution_time_ms")
        for sign in ("", "-")
        for offset in (0, 30)
    ]
    found += [f"{BILLING}/by-tag?key={key}&period_days=60" for key in ("feature", "env", "team")]
    found += [f"{BILLING}/detailed/{pk}" for pk in calls.values_list("pk", flat=True)[::3000]]
    return [*found, "/api/billing/budgets", "/api/billing/alerts", "/healthz"]


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
