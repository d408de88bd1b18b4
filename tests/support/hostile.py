"""A data set whose every text from a provider, a caller or a person is hostile, and a parser that detects harm.

The rows bypass the recorder, which cleans texts. Older records and texts that people typed are not cleaned.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from datetime import datetime, timedelta
from html.parser import HTMLParser
from typing import Any
from urllib.parse import quote, urlsplit

from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import Group, Permission
from django.contrib.contenttypes.models import ContentType
from django.core.management import call_command
from django.db import connection
from django.utils import timezone

from ai_clients.assistants.digest.week import last_full_week
from ai_clients.assistants.models import ContentPiece, DigestDelivery, DigestSubscription, Message, Participant
from tests.support import factories
from tests.support.rows import row
from usage_billing.models import (
    AlertChannel,
    AlertDelivery,
    AlertFiring,
    AlertRule,
    Budget,
    BudgetChange,
    BudgetRequest,
    ExchangeRate,
    Membership,
    Organization,
    PriceOverride,
    ProviderKey,
    RepriceRun,
    SavedView,
    ServiceToken,
    ServiceTokenChange,
    UsageRecord,
)

MARK = "zqx"
"""A marker that every hostile text contains, and no other text."""

KINDS = {
    "element": "\"'></script></textarea></title><zqx onzqx=1>zqx",
    "attribute": "zqx\" onzqx=\"1' onzqx='1",
    "template": "javascript:zqx(`{{7*7}}zqx{% now 'Y' %}`)//",
    "script": "zqx');zqx(\"\\",
    "equals": "=zqx+cmd|' /C calc'!A0",
    "plus": "+zqx",
    "minus": "-zqx",
    "at": "@zqx",
    "tab": "\t=zqx",
    "return": "\r=zqx",
    "semicolon": "zqx;=zqx",
    "wide": "＝zqx",
    "line": "zqx\r\n2026-11-28 10:00:00,000 ERROR zqx: zqx\nzqx",
    "terminal": "\x1b]0;zqx\x07\x9b2Jzqx\x7f",
    "bidi": "zqx\u202etxt\u2066\u2028zqx",
    "long": "zqx" + "W" * 197,
}
ON_PAGES = ("element", "attribute", "template", "script")
"""The texts that a browser could interpret as markup or code."""
if connection.vendor == "sqlite":
    KINDS["nul"] = "\x00zqx"  # PostgreSQL cannot store NUL


class World:
    """One organisation for each kind of text. `owner` and `staff` own them all, `member` has calls in each."""

    def __init__(self, kinds: Collection[str] = KINDS) -> None:
        self.superadmin = factories.superadmin(KINDS["element"][:150])
        self.owner, self.member = (factories.user(KINDS[kind]) for kind in ("attribute", "template"))
        self.staff = factories.user(KINDS["script"], is_staff=True)
        self.staff.user_permissions.set(Permission.objects.all())
        self.rows = {kind: self._filled(kind, text) for kind, text in KINDS.items() if kind in kinds}
        days = UsageRecord.objects.values_list("usage_date", flat=True).distinct()
        call_command("rebuild_daily", "--from", str(min(days)), "--to", str(max(days)))

    def _watched(self, org: Organization, text: str) -> None:
        """A budget with its history and a request, and an alert with its rule, channel and delivery."""
        budget = Budget.objects.create(
            org=org, name=text[:100], limit=1, starts_on="2026-01-01", agent_id=text[:100], ai_model=text[:200],
            request_type=text[:100], ai_provider=text[:50], tag_key="feature", tag_value=text[:100],
        )  # fmt: skip
        changed = {"name": ["", text]}
        BudgetChange.objects.create(org=org, budget=budget, budget_name=text[:100], by=text[:150], fields=changed)
        BudgetRequest.objects.create(org=org, budget=budget, user=self.member, limit=2, reason=text[:500])
        channel = AlertChannel.objects.create(org=org, name=text[:100], kind="email", target="a@example.com")
        rule = AlertRule.objects.create(org=org, name=text[:100], kind="errors", bound=5, scope={"agent_id": [text]})
        firing = AlertFiring.objects.create(org=org, rule=rule, key=text[:300], bound=5, value=10)
        AlertDelivery.objects.create(
            org=org, firing=firing, channel=channel, event="firing", recipient=text[:254], problem=text[:500],
            state="failed",
        )  # fmt: skip

    def _with_programs(self, org: Organization, text: str) -> None:
        """A service token with its history, and a provider key."""
        for ends_at in (None, timezone.now()):
            token = ServiceToken.objects.create(
                org=org, name=text[:64], prefix=text[:12], digest=f"{org.pk} {ends_at}", scopes=["read", text],
                allowed_models=[text], by=text[:150], expires_at=ends_at,
            )  # fmt: skip
        ServiceTokenChange.objects.create(org=org, token=token, token_name=text[:64], kind="created", by=text[:150])
        ProviderKey.objects.create(org=org, provider="openai", secret="sk", hint=text[:4], by=text[:150])

    def _filled(self, kind: str, text: str) -> list[Any]:
        org = Organization.objects.create(name=text, slug=text[:100], external_key=text[:100])
        somebody = factories.user(f"{text[:140]}{kind}")
        somebody.email = f"{text[:200]}@example.com"
        somebody.first_name = somebody.last_name = text[:150]
        somebody.save()
        memberships = ((self.owner, "owner"), (somebody, "owner"), (self.member, "member"), (self.staff, "owner"))
        for user, role in memberships:
            Membership.objects.create(org=org, user=user, role=role)
        piece = ContentPiece.objects.create(org=org, title=text, text=text, platform=text[:50], content_type=text[:50])
        monday = last_full_week(org, timezone.now()).monday
        at = datetime.combine(monday, datetime.min.time(), tzinfo=org.zone) + timedelta(days=1, hours=12)
        unknown = {"cost_usd": None, "cost_rub": None}
        fates: list[tuple[int | None, dict[str, Any]]] = [
            (somebody.pk, {"status": "failed", "error_code": text}),
            (self.member.pk, {**unknown, "price_source": f"unpriced:no-price-for:{text}"[:200]}),
            (None, {**unknown, "price_source": f"unpriced:{text}"[:200]}),
        ]
        for number, (user_id, fate) in enumerate(fates):
            metadata = {text: text, "list": [text, {text: text}], "cost_parts": {text: text}}
            UsageRecord.objects.create(
                **row(
                    org,
                    user_id=user_id,
                    agent_id=text[:100],
                    request_type=text[:100],
                    request_id=f"{text[:190]}{number}",
                    endpoint=text,
                    ai_provider=text[:50],
                    ai_model=text,
                    content_id=str(piece.pk) if number else text[:100],
                    workflow_id=text[:100],
                    platform=text[:50],
                    content_type=text[:50],
                    task_type=text[:50],
                    provider_organization=text[:64],
                    provider_project=text[:64],
                    provider_user_profile=text[:64],
                    api_key_fingerprint=text[:16],
                    usage=metadata,
                    request_metadata=metadata,
                    response_metadata=metadata,
                    created_at=at + timedelta(minutes=number),
                    **({"price_source": text} | fate),
                )
            )
        author = Participant.objects.create(
            org=org, external_id=text[:100], name=text, role="expert", activity="high", tone="friendly",
            interests=[text], analysed_at=timezone.now(),
        )  # fmt: skip
        message = Message.objects.create(
            org=org, participant=author, chat_id=text[:100], external_id=text[:100], text=text, sent_at=at
        )
        DigestSubscription.objects.create(org=org, user=somebody)
        self._watched(org, text)
        self._with_programs(org, text)
        made = [
            org,
            somebody,
            piece,
            author,
            message,
            Group.objects.create(name=text[:150]),
            UsageRecord.objects.filter(org=org).latest("id"),
            PriceOverride.objects.create(
                provider=text[:50], model_pattern=text, org=org, valid_from=monday, prices={"input_mtok": "1"},
                note=text, created_by=somebody,
            ),
            RepriceRun.objects.create(
                by=text[:150], reason=text, model=text, org=org, date_from=monday, date_to=monday, started_at=at,
                provider=text[:50], problem=text,
            ),
            DigestDelivery.objects.create(
                org=org, week=monday, error=text, summary={"headline": text, "observations": [text]}
            ),
            ExchangeRate.objects.create(date=monday - timedelta(days=list(KINDS).index(kind)), usd_rub=80),
        ]  # fmt: skip
        # No row of the admin: a view is a link of the pages.
        query = f"agent_id={quote(text)}"
        SavedView.objects.create(org=org, user=somebody, name=text[:100], page="explore", query=query, is_shared=True)
        for one in made:
            for user in (self.superadmin, self.staff):
                LogEntry.objects.create(
                    user=user, content_type=ContentType.objects.get_for_model(one), object_id=str(one.pk),
                    object_repr=text, action_flag=CHANGE, change_message=text,
                )  # fmt: skip
        return made


URLS = ("href", "src", "action", "formaction", "data", "poster", "xlink:href", "hx-get", "hx-post", "data-ajax--url")
SCHEMES = ("", "http", "https", "data", "cid")
CODE = re.compile(r"on.*|x-.*|@.*|:.*|hx-on.*|srcdoc|style|ping|hx-vals|hx-vars")
"""Attributes whose value is executed by the browser, or by the theme's Alpine.js and htmx."""


class Page(HTMLParser):
    """Collects links, forms, and every place of a page or SVG where a hostile text became markup."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.wrong: list[str] = []
        self.links: list[str] = []
        self.shows_marks = False
        self._within = ""
        self.feed(html)
        self.close()
        if f"49{MARK}" in html or f"{MARK}{timezone.now().year}" in html:
            self.wrong.append("a template was run")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._within = tag
        if MARK in tag:
            self.wrong.append(f"element {tag}")
        for name, value in attrs:
            if MARK in name:
                self.wrong.append(f"attribute {name} of {tag}")
            if MARK in (value or "") and CODE.fullmatch(name):
                self.wrong.append(f"code in {name} of {tag}: {value}")
            if name in URLS and urlsplit((value or "").strip()).scheme.lower() not in SCHEMES:
                self.wrong.append(f"{name} of {tag}: {value}")
            if MARK in (value or "") and name in URLS and (value or "").startswith("data:"):
                self.wrong.append(f"{name} of {tag}: {value}")
            if tag == "a" and name == "href":
                self.links.append(value or "")
            if tag in ("iframe", "img") and name == "src":
                self.links.append(value or "")
            self.shows_marks |= MARK in (value or "")
        if tag == "script" and ("type", "application/json") in attrs:
            self._within = "json"

    def handle_endtag(self, tag: str) -> None:
        if MARK in tag:
            self.wrong.append(f"end of {tag}")
        self._within = ""

    def handle_data(self, data: str) -> None:
        if MARK not in data:
            return
        self.shows_marks = True
        if self._within in ("script", "style"):
            self.wrong.append(f"text of {self._within}: {data}")
        if self._within == "json":
            json.loads(data)

    def handle_comment(self, data: str) -> None:
        if MARK in data:
            self.wrong.append(f"comment: {data}")

    def handle_decl(self, decl: str) -> None:
        if MARK in decl:
            self.wrong.append(f"declaration: {decl}")

    def unknown_decl(self, data: str) -> None:
        self.handle_decl(data)

    def handle_pi(self, data: str) -> None:
        self.handle_decl(data)
