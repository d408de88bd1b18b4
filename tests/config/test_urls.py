"""Every URL pattern, called with hostile values in path, query and body, answers without a server error."""

from __future__ import annotations

import itertools
import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib import admin
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils import timezone
from django.utils.regex_helper import normalize
from pytest_django import Settings

from tests.support import factories
from tests.support.api_world import World
from tests.support.configure import configure
from usage_billing.pages.calls import CallsSerializer
from usage_billing.pages.parameters import PageSerializer

DIGITS = "9" * 4400
"""More digits than Python converts to a number (4,300)."""
DEEP = "[" * 100_000
VALUES = [
    "",
    "1.0",
    "-1",
    "0",
    "1e3",
    "1e999",
    "NaN",
    "Infinity",
    "\u0661",  # a digit outside ASCII
    "1_0",
    " 1",
    str(2**63),
    str(-(2**63) - 1),
    DIGITS,
    "0000-00-00",
    "9999-12-31",
    "99999-01-01",
    "2026-02-30",
    "a" * 10_000,
    "\x00",
    "a\x00b",
    "\u202e\ufeff",
    "'\"; DROP TABLE token_usage --",
    "[]",
    "{}",
]
OF_A_FEW = ["1.0", "-1", "\u0661", str(2**63), DIGITS, "NaN", "99999-01-01", "0000-00-00", "\x00", "\u202e", "[]"]
"""A short list for pages that take a tenth of a second each."""
ENCODED = ["%ff", "%00", "%ed%a0%80", "%c0%af", "%zz", "%"]
"""Queries that do not decode: invalid UTF-8, an encoded lone surrogate, an overlong form."""
PARAMETERS = sorted(
    {
        *PageSerializer().fields,
        *("limit", "offset", "ordering", "cursor", "step", "format", "next", "lang", "unknown"),
    }
)
OF_LISTS = ("q", "o", "p", "e", "all", "org", "_facets", "_popup", "_to_field", "_changelist_filters", "_saved_filters")
"""Parameters of the admin's lists and forms."""
OF_AUTOCOMPLETE = {
    "app_label": "usage_billing",
    "model_name": "priceoverride",
    "field_name": "org",
    "term": "a",
    "page": "1",
}
BODIES = [
    b"",
    b"null",
    b"[]",
    b"1",
    b'"text"',
    b"NaN",
    b'{"a": Infinity}',
    b"\xff\xfe",
    b"{",
    DEEP.encode(),
    b'{"a":' * 100_000,
    b'{"input": ' + b"[" * 400 + b"]" * 400 + b"}",
    DIGITS.encode(),
    b'"\\ud800"',
]
FIELDS = ("username", "password", "refresh", "input", "org", "content_id", "workflow_id", "question", "message_ids",
          "content_ids", "max_messages", "email", "next", "language", "agent")  # fmt: skip
IN_A_BODY: list[Any] = [
    "\ud800",
    "\x00",
    2**63,
    int("9" * 400),
    -1,
    1.5,
    True,
    None,
    {},
    [],
    [[]],
    "a" * 10_000,
    DIGITS,
]
IN_A_PATH = ["0", "1", str(2**63), DIGITS, "1.0", "a", "%00", "%ff", "%ed%a0%80", str(uuid.UUID(int=0)), "a" * 300]

pytestmark = pytest.mark.django_db


@pytest.fixture
def client(settings: Settings) -> Client:
    configure(settings, API_RATE_USER=None, API_RATE_ANONYMOUS=None)
    World(timezone.now())
    factories.own_price()
    client = Client(raise_request_exception=False, headers={"accept-language": "en"})
    client.login(username="boss", password="secret")
    return client


def routes(resolver: Any = None, before: str = "") -> Iterator[tuple[str, list[str], URLPattern]]:
    """Yield each pattern as a template for `%`, the names of its arguments, and the pattern itself."""
    for entry in (resolver or get_resolver()).url_patterns:
        path, names = normalize(str(entry.pattern.regex.pattern))[0] if str(entry.pattern) else ("", [])
        if isinstance(entry, URLResolver):
            yield from routes(entry, before + path)
        elif "unfold" not in path:
            yield (before + path).replace("\\Z", ""), names, entry


def addresses(value: str = "1") -> list[str]:
    """Every address, with this value for each argument."""
    found = []
    for template, _names, _entry in routes():
        filled = template
        while "%(" in filled:
            start, end = filled.index("%("), filled.index(")s")
            filled = filled[:start] + value + filled[end + 2 :]
        found.append("/" + filled)
    # Under WSGI the proxy answers 501 at once; tests/ai_clients/proxy asks it under ASGI.
    return sorted({path for path in found if not path.startswith("/proxy/")} - {"/logout/", "/superadmin/logout/"})


def failed(answers: dict[str, Any]) -> dict[str, int]:
    """Return the answers with a status of 500 or more. 501 is the proxy's under WSGI, which does not serve it."""
    codes = {asked[:200]: answer.status_code for asked, answer in answers.items()}
    return {asked: code for asked, code in codes.items() if code >= 500 and code != 501}


def test_the_list_of_addresses_is_complete() -> None:
    found = addresses()
    assert len(found) > 60
    assert {"/api/token", "/usage/calls/1", "/api/participants/1/enrich-ai", "/login/"} <= set(found)
    assert {"/superadmin/login/", "/superadmin/usage_billing/usagerecord/1/change/"} <= set(found)


@pytest.mark.parametrize("value", IN_A_PATH, ids=lambda value: value[:20])
def test_arguments_in_a_path(client: Client, value: str) -> None:
    answers = {
        f"{method} {path}": getattr(client, method)(path) for path in addresses(value) for method in ("get", "post")
    }
    assert failed(answers) == {}


def hostile(client: Client, path: str, names: Any, values: Any = VALUES, encoded: Any = ENCODED) -> dict[str, int]:
    answers = {}
    for name in names:
        for value in values:
            answers[f"{path}?{name}={value[:50]!r}"] = client.get(path, {name: value})
    for text in encoded:
        answers[f"{path}?{names[0]}={text}"] = client.get(path, QUERY_STRING=f"{names[0]}={text}")
        answers[f"{path}?{text}=1"] = client.get(path, QUERY_STRING=f"{text}=1")
    return failed(answers)


def test_parameters_of_the_api(client: Client) -> None:
    paths = [path for path in addresses() if path.startswith("/api/")]
    reports = [path for path in paths if path.startswith("/api/billing/")]
    found = hostile(client, "/api/billing/usage/tokens/detailed", PARAMETERS)
    for path in reports:
        found |= hostile(client, path, PARAMETERS, OF_A_FEW)
    for path in set(paths) - set(reports):
        found |= hostile(client, path, ["org", "format"])
    assert found == {}


def test_parameters_of_the_pages(client: Client) -> None:
    assert hostile(client, "/superadmin/ai-costs", PARAMETERS, OF_A_FEW) == {}
    assert hostile(client, "/superadmin/ai-costs/calls", sorted({*CallsSerializer().fields, "tag.a"}), OF_A_FEW) == {}
    paths = [path for path in addresses() if not path.startswith(("/api/", "/superadmin/", "/usage"))]
    assert {path: wrong for path in paths if (wrong := hostile(client, path, ["org", "next", "lang"]))} == {}


def test_parameters_of_the_admins_lists(client: Client) -> None:
    """Try every filter of every list. Parameters that all lists share are tried on one list per value."""
    found: dict[str, int] = {}
    values = itertools.cycle(OF_A_FEW)
    for model, its_admin in admin.site._registry.items():
        path = f"/superadmin/{model._meta.label_lower.replace('.', '/')}/"
        filters = [entry[0] if isinstance(entry, tuple) else entry for entry in its_admin.list_filter]
        names = [f"{name}__{how}" for name in map(str, filters) for how in ("exact", "id__exact", "gte")]
        if its_admin.date_hierarchy:
            names += [f"{its_admin.date_hierarchy}__{part}" for part in ("year", "month", "day")]
        found |= hostile(client, path, names or ["q"], ["1.0", str(2**63), DIGITS, "99999-01-01", "\x00"], ENCODED[:2])
        for name in OF_LISTS:
            found |= hostile(client, path, [name], [next(values), next(values)], [])
        for name in ("org", "_changelist_filters", "_to_field"):
            found |= hostile(client, f"{path}add/", [name], [next(values)], [])
    assert found == {}


def test_parameters_of_autocomplete(client: Client) -> None:
    answers = {
        f"{name}={value[:50]!r}": client.get("/superadmin/autocomplete/", {**OF_AUTOCOMPLETE, name: value})
        for name in OF_AUTOCOMPLETE
        for value in VALUES
    }
    assert client.get("/superadmin/autocomplete/", OF_AUTOCOMPLETE).status_code == 200
    assert failed(answers) == {}


def test_bodies(client: Client) -> None:
    answers = {}
    for path in addresses():
        if not path.startswith("/api/"):
            continue
        for body in BODIES:
            answers[f"{path} {body[:30]!r}"] = client.post(path, body, content_type="application/json")
        for name in FIELDS:
            for value in IN_A_BODY:
                body = json.dumps({name: value}).encode()
                answers[f"{path} {body[:40]!r}"] = client.post(path, body, content_type="application/json")
    assert failed(answers) == {}


def test_forms(client: Client) -> None:
    answers = {}
    for path in addresses():
        if path.startswith("/api/"):
            continue
        for value in ("\x00", "\ud800".encode("utf-8", "surrogatepass"), DEEP, DIGITS, "1.0"):
            answers[f"{path} {value[:30]!r}"] = client.post(path, dict.fromkeys(FIELDS, value))
    assert failed(answers) == {}
