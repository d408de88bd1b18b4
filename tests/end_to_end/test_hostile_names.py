"""Nothing that a provider, a caller or a person has named is more than text: on no page, in no file, line or e-mail.

The crawl finds the addresses by itself, so that a page added later is looked at too.
"""

from __future__ import annotations

import csv
import io
import json
import logging
import re
import zipfile
from collections import Counter, deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit

import pytest
from defusedxml import ElementTree
from django.conf import settings as django_settings
from django.contrib.auth.models import User
from django.core import mail
from django.core.management import CommandError, call_command, get_commands
from django.db import models
from django.test import Client
from django.urls import URLResolver, get_resolver, resolve, reverse
from django.urls.exceptions import NoReverseMatch, Resolver404
from django.utils import timezone
from pytest_django import Settings

from ai_clients.assistants.digest.delivery import send_digest
from tests.support import factories, people
from tests.support.factories import event
from tests.support.hostile import KINDS, MARK, ON_PAGES, Page, World
from usage_billing.models import DailyUsage, Organization, Session, UsageRecord
from usage_billing.monitoring.printable import NBSP, OneLineFormatter
from usage_billing.recording import state_files
from usage_billing.recording.event import encode
from usage_billing.recording.outbox import Outbox

pytestmark = pytest.mark.django_db

ROLES = ("superadmin", "staff", "owner", "member", "anonymous")

NOT_OPENED = {
    "agent-run": "takes POST; its answer is JSON",
    "custom-analysis": "takes POST; its answer is JSON",
    "enrich-participant": "takes POST; its answer is JSON",
    "cron-send-weekly-digests": "takes POST of cron; what it sends is looked at below",
    "cron-update-participant-roles": "takes POST of cron",
    "usage_billing:api-events": "takes POST; its answer is JSON",
    "token": "takes POST; its answer is JSON",
    "token-refresh": "takes POST; its answer is JSON",
    "token-revoke": "takes POST; its answer is JSON",
    "set_language": "takes POST and redirects",
    "logout": "takes POST and redirects",
    "admin:usage_billing_repricerun_continue": "takes POST and redirects to the run's page",
    "usage_billing:ai-costs-view": "the page of `usage-view`, of views that superadmins share with each other",
    "admin:login": "leads to the log-in of the pages",
    "admin:logout": "takes POST; the theme's page of it says nothing about anybody",
    "admin:password_change": "redirects to the account's own page",
    "admin:password_change_done": "says nothing about anybody",
    "password_reset_confirm": "needs a link by e-mail; its page says nothing about anybody",
    "admin:view_on_site": "no model has a page of its own",
    "admin:ai_assistants_digest_summary": "takes POST; its page is looked at below",
    "admin:ai_assistants_participant_enrich": "takes POST; its page is looked at below",
    "admin:ai_assistants_custom_analysis": "takes POST; its page is looked at below",
    **dict.fromkeys(
        (
            *("admin:usage_billing_alertchannel_delete", "admin:usage_billing_alertdelivery_delete"),
            *("admin:usage_billing_alertfiring_delete", "admin:usage_billing_alertrule_delete"),
            *("admin:usage_billing_budget_delete", "admin:usage_billing_budgetchange_delete"),
            "admin:usage_billing_budgetrequest_delete",
        ),
        "the admin shows these and changes nothing",
    ),
    **dict.fromkeys(
        (
            *("usage_billing:api-alert-channel", "usage_billing:api-alert-channel-test"),
            *("usage_billing:api-alert-firing", "usage_billing:api-alert-rule", "usage_billing:api-budget"),
            *("usage_billing:api-budget-history", "usage_billing:api-budget-request"),
            *("usage_billing:api-service-token", "usage_billing:api-service-token-rotate"),
            "usage_billing:api-provider-key",
        ),
        "no page leads there; its answer is JSON",
    ),
    **dict.fromkeys(
        (
            *("usage_billing:ai-costs-alert-channel-test", "usage_billing:usage-alert-channel-test"),
            *("usage_billing:ai-costs-budget-request", "usage_billing:usage-budget-request"),
        ),
        "takes POST and redirects",
    ),
    "proxy": "answers 501 under WSGI; tests/ai_clients/proxy asks it under ASGI",
    **dict.fromkeys(
        ("usage_billing:ai-costs-budget-ask", "usage_billing:usage-budget-ask"),
        "a form for whoever has not asked yet; it shows what the page of the budget shows",
    ),
}
"""Named addresses that the crawl does not open by GET, and why."""

PARAMETERS = (
    (
        "agent_id",
        "ai_provider",
        "ai_model",
        "request_type",
        "workflow_id",
        "content_id",
        "compare_model",
        "next",
        "q",
        "s",
    ),
    ("status", "user", "org", "from", "to", "days", "period", "by", "currency", "rows", "workflows", "format", "limit"),
    ("cursor",),
    ("o", "p", "e", "_changelist_filters", "_popup"),
    ("_to_field",),
    ("status__exact", "zqx"),
    ("app_label", "model_name", "field_name", "term"),
    ("title", "name", "text", "org", "participant"),
)
"""Query parameters of pages and of the admin; the last ones fill in a form for a new row."""
OF_A_VIEW = 6
"""Addresses opened of those that a view's pages lead to, no two of which differ only in values."""


@pytest.fixture
def few(settings: Settings, outbox: Outbox) -> World:
    """With the texts that matter on pages."""
    return made(settings, outbox, World(ON_PAGES))


@pytest.fixture
def world(settings: Settings, outbox: Outbox) -> World:
    return made(settings, outbox, World())


def made(settings: Settings, outbox: Outbox, world: World) -> World:
    settings.LANGUAGE_CODE = "en"
    state_files.add_losses(outbox.path, {KINDS["element"]: 1, KINDS["line"]: 2})
    for text in KINDS.values():
        outbox.append(encode(event(model=text, request_id=text, attribution={"agent_id": text})))
    for id_, _body in outbox.read(100):
        outbox.reject(id_, KINDS["element"] + KINDS["line"])
    return world


def client_of(world: World, role: str) -> Client:
    client = Client(raise_request_exception=False)
    if role != "anonymous":
        person = getattr(world, role)
        client.force_login(person)
        for text in KINDS.values():  # what a stranger's program says of itself
            factories.api_session(person)
            newest = Session.objects.filter(kind="api").latest("created_at")
            Session.objects.filter(pk=newest.pk).update(user_agent=text[:300], address=text[:45])
    return client


@pytest.fixture(autouse=True)
def log() -> Iterator[io.StringIO]:
    """All that is logged meanwhile, as the service writes it."""
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    configured: dict[str, Any] = django_settings.LOGGING
    plain = configured["formatters"]["plain"]
    handler.setFormatter(OneLineFormatter(plain["format"], style=plain["style"]))
    logging.getLogger().addHandler(handler)
    yield written
    logging.getLogger().removeHandler(handler)
    begin = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} (DEBUG|INFO|WARNING|ERROR|CRITICAL) [\w.]+: |  |$")
    lines = written.getvalue().split("\n")
    assert [line for line in lines if not begin.match(line)] == []
    assert [line for line in lines if not is_printable(line)] == []


def is_printable(line: str) -> bool:
    return line.replace(NBSP, " ").isprintable()


# ── The crawl ────────────────────────────────────────────────────────────────────────────────────────────────────


def named(resolver: URLResolver, space: str = "") -> Iterator[str]:
    for pattern in resolver.url_patterns:
        if isinstance(pattern, URLResolver):
            yield from named(pattern, f"{space}{pattern.namespace}:" if pattern.namespace else space)
        elif pattern.name:
            yield space + pattern.name


def begun(world: World) -> Iterator[str]:
    """Yield the start of the crawl: each address without arguments, and the pages of each row."""
    for name in sorted(set(named(get_resolver()))):
        try:
            yield reverse(name)
        except NoReverseMatch:
            continue
    for app in ("usage_billing", "auth", "ai_assistants"):
        yield reverse("admin:app_list", args=[app])
    for rows in world.rows.values():
        for one in rows:
            yield from of_a_row(one)
        for call in UsageRecord.objects.filter(org=rows[0]):
            yield reverse("usage_billing:call", args=[call.pk])
            yield reverse("usage_billing:api-call", args=[call.pk])
        yield reverse("admin:ai_assistants_digest_email", args=[rows[0].pk])
        yield f"{reverse('admin:ai_assistants_digestdelivery_preview')}?org={rows[0].pk}"
        yield reverse("admin:ai_assistants_contentpiece_run", args=[rows[2].pk])
        yield reverse("admin:ai_assistants_contentpiece_run_agent", args=[rows[2].pk, "legal_guard"])
        yield f"{reverse('admin:ai_assistants_run_calls', args=['run'])}?made=2"
        yield f"{reverse('usage_billing:ai-costs')}?org={rows[0].pk}&rows=all&workflows=all"
        yield f"{reverse('usage_billing:usage')}?org={rows[0].pk}&rows=all&workflows=all&currency=rub"
    for model, name in (("message", "participant"), ("message", "answers"), ("contentpiece", "org")):
        query = {"app_label": "ai_assistants", "model_name": model, "field_name": name}
        yield f"{reverse('admin:autocomplete')}?{urlencode(query)}"
        yield f"{reverse('admin:autocomplete')}?{urlencode(query | {'term': MARK})}"
    yield f"{reverse('admin:search')}?s=a"
    yield f"{reverse('admin:search')}?s=a&extended=1"
    for text in KINDS.values():
        yield f"/no/such/page?{urlencode({'x': text})}"


def of_a_row(one: models.Model) -> Iterator[str]:
    name = f"admin:{one._meta.app_label}_{one._meta.model_name}"
    for page in ("change", "history", "delete"):
        yield reverse(f"{name}_{page}", args=[one.pk])
    if isinstance(one, User):
        yield reverse(f"{name}_password_change", args=[one.pk])


def asked_with(address: str) -> Iterator[str]:
    """The address with hostile values in each parameter that there is."""
    for text in (KINDS["element"], KINDS["template"], "\0" + KINDS["line"]):
        yield from (f"{address}?{urlencode(dict.fromkeys(names, text))}" for names in PARAMETERS)


class Crawl:
    """Opens what one person can find. `seen`: the names of the addresses opened; `wrong`: what is wrong with which."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.seen: Counter[str] = Counter()
        self.wrong: dict[str, Any] = {}
        self.with_marks = 0
        self._alike: Counter[tuple[str, frozenset[str]]] = Counter()

    def run(self, begin: list[str]) -> None:
        todo, known = deque(begin), set(begin)
        while todo:
            address = todo.popleft()
            for link in self.opened(address):
                if link not in known and self._is_new(link):
                    known.add(link)
                    todo.append(link)

    def opened(self, address: str) -> list[str]:
        """Look at what is there; returns the addresses that it leads to, in this service."""
        answer: Any = self.client.get(address)
        try:
            self.seen[resolve(urlsplit(address).path).view_name] += 1
        except Resolver404:
            self.seen["nothing"] += 1
        if answer.status_code >= 500:
            self.wrong[address] = answer.status_code
            return []
        where = answer.headers.get("Location", "")
        if where and urlsplit(where).netloc:
            self.wrong[address] = f"leads to {where}"
        kind = answer.headers.get("Content-Type", "").partition(";")[0]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        content = b"".join(answer.streaming_content) if answer.streaming else answer.content
        if found := self._looked_at(kind, content):
            self.wrong[address] = found
        links = [where]
        if kind == "text/html":
            links += Page(content.decode()).links
        absolute = (urljoin(f"http://testserver{address}", link) for link in links if link)
        return [
            each.removeprefix("http://testserver").partition("#")[0]
            for each in absolute
            if each.startswith("http://testserver/")
        ]

    def _looked_at(self, kind: str, content: bytes) -> list[str]:
        text = content.decode("utf-8-sig", "replace")
        match kind:
            case "text/html":
                page = Page(text)
                self.with_marks += page.shows_marks
                return page.wrong
            case "application/json" | "application/vnd.oai.openapi+json":
                json.loads(text)
            case "text/csv":
                return formulas(text) + [line for line in text.split("\r\n") if not is_printable(line)]
            case "application/jsonl":
                return [line for line in text.removesuffix("\n").split("\n") if not is_printable(line)]
            case "text/plain":
                return [line for line in text.split("\n") if not is_printable(line) or line.startswith(MARK)]
            case "" | "text/javascript":
                return [MARK] if MARK in text else []
            case _:
                return [] if content.startswith(b"PK") else [f"unknown kind of answer: {kind}"]
        return []

    def _is_new(self, link: str) -> bool:
        path, _, query = link.partition("?")
        if path.startswith(("/static/", "/no/such")):
            return False
        try:
            name = resolve(path).view_name
        except Resolver404:
            return False
        alike = (name, frozenset(key for key, _ in parse_qsl(query, keep_blank_values=True)))
        of_the_view = sum(number for (other, _), number in self._alike.items() if other == name)
        if self._alike[alike] or of_the_view >= OF_A_VIEW:
            return False
        self._alike[alike] += 1
        return True


_opened: Counter[str] = Counter()
"""By all roles together; the last test looks at it."""


@pytest.mark.parametrize("role", ROLES)
def test_no_page_holds_more_than_text_of_what_others_named(few: World, role: str) -> None:
    begin = list(begun(few))
    plain = ["/superadmin/ai-costs", "/usage/", "/login/", "/superadmin/login/", "/no/such/page"]
    plain += [f"/api/billing/usage/tokens/{name}" for name in ("detailed", "by-model", "history", "export")]
    plain += [reverse(f"admin:usage_billing_{name}_changelist") for name in ("usagerecord", "organization")]
    plain += [reverse(f"admin:ai_assistants_{name}") for name in ("contentpiece_changelist", "message_add")]
    plain += [reverse("admin:autocomplete"), reverse("admin:search")]
    begin += [each for address in plain for each in asked_with(address)]
    crawl = Crawl(client_of(few, role))
    crawl.run(begin)
    _opened.update(crawl.seen)
    assert crawl.wrong == {}
    assert crawl.with_marks > {"anonymous": 0, "member": 15, "owner": 15}.get(role, 60)


def test_the_crawl_knows_every_named_address() -> None:
    """Runs after the crawl of each role, and says which pages none of them has opened."""
    if len(_opened) < 50:
        pytest.skip("the crawl has not run")
    names = set(named(get_resolver()))
    assert sorted(names - set(_opened) - set(NOT_OPENED)) == []
    assert sorted(set(NOT_OPENED) - names) == []


# ── What is sent ─────────────────────────────────────────────────────────────────────────────────────────────────


def texts_of(model: type[models.Model], text: str) -> dict[str, str]:
    return {each.name: text for each in model._meta.get_fields() if isinstance(each, models.Field)}


@pytest.mark.parametrize("role", ["superadmin", "staff"])
def test_no_form_gives_back_more_than_text(few: World, role: str) -> None:
    """Typed text appears in the form again, in its errors, and in messages on the next page."""
    client, wrong, marks = client_of(few, role), {}, 0
    for kind, rows in few.rows.items():
        text = KINDS[kind]
        sent: list[tuple[str, dict[str, Any]]] = []
        for one in rows:
            name = f"admin:{one._meta.app_label}_{one._meta.model_name}"
            form = texts_of(type(one), text) | {"memberships-TOTAL_FORMS": text, "_save": "1"}
            sent += [(reverse(f"{name}_add"), form), (reverse(f"{name}_change", args=[one.pk]), form)]
            chosen = {"_selected_action": [str(one.pk)]}
            changelist = reverse(f"{name}_changelist")
            sent += [(changelist, {**chosen, "action": action}) for action in ("delete_selected", "ask_about", text)]
        org, _somebody, piece, author, message, *_ = rows
        sent += [
            # The message after saving contains the object's name.
            (
                reverse("admin:ai_assistants_participant_change", args=[author.pk]),
                {"name": text, "external_id": kind, "org": org.pk, "_continue": "1"},
            ),
            (
                reverse("admin:ai_assistants_contentpiece_add"),
                {"org": org.pk, "title": text, "text": text, "status": "draft", "_addanother": "1"},
            ),
            (f"{reverse('admin:ai_assistants_contentpiece_add')}?_popup=1&_to_field=id",
             {"org": org.pk, "title": text, "text": text, "status": "draft", "_popup": "1"}),
            (reverse("admin:ai_assistants_contentpiece_run_agent", args=[piece.pk, "repurpose"]),
             {"input-text": text, "input-platform": text, "run_id": text}),
            (reverse("admin:ai_assistants_agent_run", args=["trends_scout"]),
             {"org": text, "input-posts-TOTAL_FORMS": "1", "input-posts-INITIAL_FORMS": text,
              "input-posts-0-text": text, "add_rows": text}),
            (reverse("admin:ai_assistants_custom_analysis"), {"question": "", "message_ids": [message.pk]}),
            (reverse("admin:ai_assistants_custom_analysis"), {"question": text * 999, "content_ids": [str(piece.pk)]}),
            (reverse("admin:login"), {"username": text, "password": text, "next": text}),
            (reverse("login"), {"username": text, "password": text, "next": text}),
            (reverse("admin:password_change"), {"old_password": text, "new_password1": text, "new_password2": "x"}),
        ]  # fmt: skip
        for address, form in sent:
            answer: Any = client.post(address, form, follow=True)
            if answer.status_code >= 500:
                wrong[kind, address] = str(answer.status_code)
            elif answer.headers["Content-Type"].startswith("text/html"):
                page = Page(answer.content.decode())
                marks += page.shows_marks
                if page.wrong:
                    wrong[kind, address] = str(page.wrong)
    assert wrong == {}
    assert marks > 100


def test_no_answer_of_a_model_is_more_than_text_in_the_admin(few: World, simulated: dict[str, str]) -> None:
    client, marks = client_of(few, "superadmin"), 0
    review = {"is_advertising": False, "verdict": "publish", "findings": []}
    for kind, (org, _somebody, piece, author, message, *_) in few.rows.items():
        text = KINDS[kind]
        digest = {"headline": text, "observations": [text]}
        profile = {**people.PROFILE, "interests": [text]}
        for address, form, given in (
            (reverse("admin:ai_assistants_contentpiece_run_agent", args=[piece.pk, "legal_guard"]), {"input-text": "x"},
             {**review, "summary": text}),
            (reverse("admin:ai_assistants_custom_analysis"), {"question": text, "message_ids": [message.pk]},
             {"answer": text, "is_answered": True, "evidence": [1]}),
            (reverse("admin:ai_assistants_participant_enrich", args=[author.pk]), {}, profile),
            (reverse("admin:ai_assistants_digest_summary", args=[org.pk]), {}, digest),
        ):  # fmt: skip
            simulated["X-Simulator-Text"] = people.answer(**given)
            answer: Any = client.post(address, form, follow=True)
            page = Page(answer.content.decode())
            assert (answer.status_code, page.wrong) == (200, []), (kind, address)
            marks += page.shows_marks
    assert marks > 3 * len(few.rows)


def test_no_email_holds_more_than_text(world: World, simulated: dict[str, str]) -> None:
    """Subject, both forms and each header: no name begins a line or is markup."""
    for kind, (org, somebody, *_) in world.rows.items():
        somebody.email = f"{kind}@example.com"
        somebody.save()
        send_digest(org.pk, timezone.now())
    assert len(mail.outbox) == len(KINDS)
    for message in mail.outbox:
        assert is_printable(str(message.subject))
        headers = message.message()
        assert {name for name, _ in headers.items()} <= {
            *("Content-Type", "MIME-Version", "Subject", "From", "To", "Date", "Message-ID", "Auto-Submitted"),
            *("Content-Language", "List-Unsubscribe"),
        }
        assert not isinstance(message.body, type(None))
        lines = str(message.body).split("\n")
        assert [line for line in lines if not is_printable(line)] == []
        assert "&quot;" not in message.body
        assert "&#x27;" not in message.body
        (html,) = [content for content, kind in message.alternatives if kind == "text/html"]  # type: ignore[attr-defined]
        page = Page(str(html))
        assert page.wrong == []
        assert page.shows_marks


# ── Files ────────────────────────────────────────────────────────────────────────────────────────────────────────

FORMULA = re.compile(r"\s*[=+\-@＝＋－＠\t\r]")


def formulas(text: str) -> list[str]:
    """The cells that a spreadsheet takes for a formula, whether it separates them by commas or by semicolons."""
    cells = [cell for row in csv.reader(io.StringIO(text, newline="")) for cell in row]
    cells += [cell for row in csv.reader(io.StringIO(text, newline=""), delimiter=";") for cell in row]
    cells += [part for cell in cells for part in cell.split(";")]
    return [cell for cell in cells if MARK in cell and FORMULA.match(cell)]


@pytest.mark.parametrize("role", ["superadmin", "owner", "member"])
def test_no_file_has_a_formula_or_a_line_of_its_own(world: World, role: str) -> None:
    client = client_of(world, role)
    number = len(KINDS) * (1 if role == "member" else 3)

    def got(**query: str) -> bytes:
        answer: Any = client.get("/api/billing/usage/tokens/export", query)
        assert answer.status_code == 200
        return b"".join(answer.streaming_content)

    text = got(format="csv").decode("utf-8-sig")
    assert formulas(text) == []
    lines = text.removesuffix("\r\n").split("\r\n")
    assert (len(lines), [line for line in lines if not is_printable(line)]) == (number + 1, [])
    lines = got(format="jsonl").decode().removesuffix("\n").split("\n")
    assert (len(lines), [line for line in lines if not is_printable(line)]) == (number, [])
    models = {json.loads(line)["ai_model"] for line in lines}
    assert models == set(KINDS.values())  # the very names
    page = client.get(
        reverse("usage_billing:usage-explore" if role != "superadmin" else "usage_billing:ai-costs-explore"),
        {"format": "csv", "rows": "all", "group": "ai_model", "then": "agent_id"},
    )
    text = page.content.decode("utf-8-sig")
    assert MARK in text
    assert (formulas(text), [line for line in text.split("\r\n") if not is_printable(line)]) == ([], [])
    with zipfile.ZipFile(io.BytesIO(got(format="xlsx"))) as book:
        sheet = ElementTree.fromstring(book.read("xl/worksheets/sheet1.xml"))
        space = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
        assert len(sheet.findall(f".//{space}row")) == number + 1
        assert sheet.findall(f".//{space}f") + sheet.findall(f".//{space}hyperlink") == []
        assert {cell.get("t") for cell in sheet.iter(f"{space}c") if MARK in "".join(cell.itertext())} == {"inlineStr"}
        assert not [name for name in book.namelist() if "external" in name.lower()]


# ── Terminals ────────────────────────────────────────────────────────────────────────────────────────────────────

NOT_RUN = {
    "archive_usage": "prints months, numbers and its own file names",
    "restore_usage": "needs an archive",
    "fetch_exchange_rates": "prints dates and rates; what the bank answers is in its own tests",
    "mcp": "answers what the API answers, as JSON, to a client that speaks its protocol",
    "update_prices": "prints the list's names of models; what a server answers is in its own tests",
    "seed_demo": "prints its own names",
    "demo": "prints its own names",
    "secure_database": "prints its own statements, on PostgreSQL",
    "distribute": "prints its own statements and names of servers, on a Citus cluster",
    "undistribute": "prints its own text, on a Citus cluster",
    "update_participant_roles": "prints numbers, and the provider's errors as `send_weekly_digests` does",
}


def test_no_command_prints_more_than_lines(
    world: World,
    simulated: dict[str, str],
    capsys: pytest.CaptureFixture[str],
    settings: Settings,
    tmp_path: Path,
) -> None:
    UsageRecord.objects.update(ai_model=models.F("agent_id"))  # so that the totals are wrong, and said to be
    DailyUsage.objects.filter(grain="total").delete()
    day = str(timezone.now().date())
    settings.EMAIL_BACKEND = "tests.end_to_end.test_hostile_names.Refusing"
    texts = list(KINDS.values())
    run: list[list[str]] = [
        ["drain_usage", "--list-rejected"],
        ["drain_usage"],
        ["check_usage"],
        ["rebuild_daily", "--from", day, "--to", day],
        *(["rebuild_daily", "--from", day, "--to", day, "--org", text] for text in texts),
        ["reprice_usage", "--from", "2026-01-01", "--to", day, "--dry-run"],
        *(["reprice_usage", "--from", day, "--to", day, "--reason", text, "--by", text[:150]] for text in texts),
        ["send_weekly_digests"],
        ["check_alerts", "--dry-run"],
        ["import_usage", str(_file_of_events(tmp_path, texts)), "--format", "events", "--dry-run"],
        *(["create_token", "--name", text, "--org", text[:100], "--scope", "read"] for text in texts),
        *(["run_agent", text] for text in texts),
        *(["run_agent", "legal_guard", "--org", text[:100]] for text in texts),
        *(["run_agent", "legal_guard", "--user", text] for text in texts),
    ]  # fmt: skip
    ours = {name for name, app in get_commands().items() if app in ("usage_billing", "ai_clients.assistants")}
    assert ours == {command for command, *_ in run} | set(NOT_RUN)
    shown = []
    for command, *options in run:
        try:
            call_command(command, *(f"--{each[2:]}" if each.startswith("--") else each for each in options))
        except CommandError as error:
            shown.append(str(error))  # `manage.py` prints it by the command's own output
        except SystemExit:
            pass  # the option was refused
    printed = capsys.readouterr()
    lines = printed.out.split("\n")
    assert sum(MARK in line for line in lines) >= len(KINDS)
    assert [line for line in lines if not is_printable(line)] == []
    assert [line for line in lines if line.startswith((MARK, "2026-11-28"))] == []


def _file_of_events(folder: Path, texts: list[str]) -> Path:
    """A file whose every row is refused, by its organisation or its id."""
    call = {"provider": "openai", "model": "gpt-4.1-mini", "usage": None, "time": "2026-11-18T09:00:00Z"}
    rows = [{**call, "request_id": text, "org": text, "user": text} for text in texts]
    rows += [{**call, "request_id": f"call-{number}", "org": text} for number, text in enumerate(texts)]
    file = folder / "events.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)))
    return file


class Refusing:
    """A mail server whose refusal is hostile."""

    def __init__(self, *args: Any, **options: Any) -> None:
        pass

    def __enter__(self) -> Refusing:
        return self

    def __exit__(self, *args: Any) -> None:
        pass

    def send_messages(self, messages: Any) -> int:
        raise OSError(KINDS["line"] + KINDS["terminal"])

    def close(self) -> None:
        pass


def test_what_can_be_set_in_a_row_is_set() -> None:
    """A text column that is added later has to be filled in `hostile.World`."""
    world = World()
    for rows in world.rows.values():
        for one in rows:
            one.refresh_from_db()
            empty = {
                each.name
                for each in one._meta.concrete_fields
                if isinstance(each, models.CharField | models.TextField)
                and not each.choices
                and MARK[0] not in str(getattr(one, each.attname))
            }
            short = {"api_key_fingerprint"}  # some kinds of text begin with more than its 16 characters
            assert empty <= {"password", "timezone", "language", "content_id", "error_code"} | short, type(one)
    assert Organization.objects.count() == len(KINDS)
