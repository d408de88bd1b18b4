"""The schema, and its page."""

from __future__ import annotations

import io
import json
import re
from html.parser import HTMLParser
from typing import Any

import pytest
from django.contrib.staticfiles import finders
from django.core.management import call_command
from django.test import Client
from django.utils import timezone
from jsonschema import Draft202012Validator, FormatChecker
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from tests.support.api_world import BILLING, REPORTS, World
from usage_billing.models import UsageRecord

pytestmark = pytest.mark.django_db


@pytest.fixture
def schema() -> Any:
    answer = Client().get("/api/schema")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/vnd.oai.openapi+json")
    return answer.json()


def operations(schema: Any) -> dict[str, Any]:
    return {operation["operationId"]: operation for path in schema["paths"].values() for operation in path.values()}


def errors(schema: Any, operation: str, answer: Any) -> list[str]:
    """List the deviations of an answer from the schema of its operation and status."""
    described = operations(schema)[operation]["responses"][str(answer.status_code)]
    content_type = answer.headers["Content-Type"]
    assert content_type in described["content"]
    resource = Resource.from_contents(schema, default_specification=DRAFT202012)
    registry = Registry().with_resource("urn:api", resource)
    whole = json.loads(
        json.dumps(described["content"][content_type]["schema"]).replace('"#/components', '"urn:api#/components')
    )
    validator = Draft202012Validator(whole, registry=registry, format_checker=FormatChecker())
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(answer.json())]


def test_it_is_valid_and_nothing_is_guessed() -> None:
    call_command("spectacular", validate=True, fail_on_warn=True, stdout=io.StringIO())


def test_every_address_of_the_contract_is_in_it(schema: Any) -> None:
    assert schema["openapi"].startswith("3.")
    paths = {*(f"{BILLING}/{report}" for report in REPORTS), f"{BILLING}/detailed/{{id}}", "/api/token"}
    assert paths - set(schema["paths"]) == set()
    assert {path: path for path in schema["paths"] if path.endswith("/")} == {}


def test_operation_ids_are_stable(schema: Any) -> None:
    ids = {f"usage_{report.replace('-', '_')}" for report in REPORTS} | {"usage_call", "usage_by_tag"}
    assert {name for name in operations(schema) if name.startswith("usage_")} == ids


def test_it_says_the_same_in_every_language() -> None:
    texts = [Client().get("/api/schema", headers={"accept-language": code}).content for code in ("ru", "en")]
    assert texts[0] == texts[1]


@pytest.mark.parametrize("report", [report for report in REPORTS if report != "export"])
@pytest.mark.parametrize("person", ["superadmin", "owner", "owner_of_two", "member", "left"])
def test_every_answer_is_as_described(schema: Any, report: str, person: str) -> None:
    client = World(timezone.now()).client(person)
    operation = f"usage_{report.replace('-', '_')}"
    statuses = set()
    for query in ({}, {"agent_id": "nobody"}, {"workflow_id": "common-workflow"}, {"org": "x"}):
        answer = client.get(f"{BILLING}/{report}", query)
        assert errors(schema, operation, answer) == []
        statuses.add(answer.status_code)
    assert statuses == ({403} if report == "by-org" and person not in ("superadmin", "owner_of_two") else {200, 400})


@pytest.mark.parametrize("report", REPORTS)
def test_every_refusal_is_as_described(schema: Any, report: str) -> None:
    answer = Client().get(f"{BILLING}/{report}")
    assert answer.status_code == 401
    assert errors(schema, f"usage_{report.replace('-', '_')}", answer) == []


def test_a_call_is_as_described_and_where_a_list_leads(schema: Any) -> None:
    client = World(timezone.now()).client("superadmin")
    for call in UsageRecord.objects.all()[:20]:
        answer = client.get(f"{BILLING}/detailed/{call.pk}")
        assert answer.status_code == 200
        assert errors(schema, "usage_call", answer) == []
    missing = client.get(f"{BILLING}/detailed/999999999")
    assert missing.status_code == 404
    assert errors(schema, "usage_call", missing) == []


def test_a_wrong_answer_would_be_told(schema: Any) -> None:
    client = World(timezone.now()).client("superadmin")
    answer = client.get(f"{BILLING}/summary")
    told = answer.json()
    told["data"]["today"]["cost_usd"] = 0.5
    told["data"]["more"] = 1
    answer.json = lambda: told  # type: ignore[method-assign]
    assert len(errors(schema, "usage_summary", answer)) == 2


def test_the_export_names_its_three_kinds_of_file(schema: Any) -> None:
    kinds = set(operations(schema)["usage_export"]["responses"]["200"]["content"])
    client = World(timezone.now()).client("superadmin")
    answered = set()
    for kind in ("csv", "jsonl", "xlsx"):
        answer = client.get(f"{BILLING}/export", {"format": kind})
        answered.add(answer.headers["Content-Type"].split(";")[0])
        # Read to its end it gives its slot back: a person may have two exports at a time.
        assert b"".join(answer)
    assert kinds == answered


@pytest.mark.parametrize("accept", ["text/csv", "text/html", "application/xml", "*/*"])
def test_what_a_client_prefers_changes_nothing(accept: str) -> None:
    client = World(timezone.now()).client("superadmin")
    for report, expected in (("summary", "application/json"), ("export", "text/csv; charset=utf-8")):
        answer = client.get(f"{BILLING}/{report}", headers={"accept": accept})
        assert (answer.status_code, answer.headers["Content-Type"]) == (200, expected)


# ── The page ─────────────────────────────────────────────────────────────────────────────────────────────────────


class Page(HTMLParser):
    """The addresses that a page loads, and its scripts' own text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.inline = ""
        self._in_script = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._in_script = tag == "script"
        self.loads += [value for name, value in attrs if name in ("src", "href") and value]
        self.inline += "".join(value or "" for name, value in attrs if name.startswith("on"))

    def handle_endtag(self, tag: str) -> None:
        self._in_script = False

    def handle_data(self, data: str) -> None:
        if self._in_script:
            self.inline += data.strip()


@pytest.mark.parametrize("person", ["superadmin", "owner"])
def test_the_page_has_the_shell_of_the_person(person: str) -> None:
    client = World(timezone.now()).client(person)
    home = "/superadmin/ai-costs" if person == "superadmin" else "/usage/"
    pages = [client.get(address).content.decode() for address in (home, "/api/docs")]
    links = [Page(html.partition("<aside")[2].partition("</aside>")[0]).loads for html in pages]
    assert home in links[0]
    assert links[0] == links[1]


def test_the_page_loads_from_here_alone_and_has_no_script_of_its_own() -> None:
    html = Client().get("/api/docs").content.decode()
    page = Page(html)
    assert page.inline == ""
    assert ' style="' not in html
    assert {"/", "/api/schema"} <= set(page.loads)
    assert len(page.loads) >= 4
    for address in (address for address in page.loads if not address.startswith("#")):
        assert re.match(r"/(?!/)", address)
        if address.startswith("/static/"):
            assert finders.find(address.removeprefix("/static/")) is not None
    script = Client().get("/api/docs?script=")
    assert script.headers["Content-Type"].startswith("application/javascript")
    assert 'url: "/api/schema"' in script.content.decode().replace("\\u002D", "-")
    # Else it would show a badge of another host's.
    assert '"validatorUrl": null' in script.content.decode()
