"""The product in a host project of another kind (`foreign_host`): everything of the host's works as before."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.support import foreign_host, postgres
from tests.support.foreign_project import ForeignProject


@pytest.fixture(scope="module")
def server() -> Iterator[postgres.Server]:
    """Two databases of a role that may create neither roles nor databases."""
    with postgres.temporary() as server, psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute("CREATE ROLE host LOGIN PASSWORD 'host' NOCREATEROLE NOCREATEDB")
        for name in ("host", "costs"):
            connection.execute(f"CREATE DATABASE {name} OWNER host")
        yield server


@pytest.fixture(scope="module")
def host(
    foreign_python: Path, provider: str, server: postgres.Server, tmp_path_factory: pytest.TempPathFactory
) -> ForeignProject:
    """The migrated project with Acme and its people: Anna owns it, Mia is a member, Sofie is a superadmin."""
    environment = {
        "OPENAI_BASE_URL": f"{provider}/openai/v1",
        "OPENAI_API_KEY": "simulated",
        "POSTGRES_PORT": str(server.port),
    }
    project = ForeignProject(tmp_path_factory.mktemp("host"), foreign_python, environment)
    project.write(foreign_host.FILES)
    project.manage("makemigrations", "company")
    project.manage("migrate")
    project.manage("migrate", "--database=costs")
    project.shell("""
        from company.models import Company, Invoice, Membership, Person

        acme, other = (Company.objects.create(name=name) for name in ("Acme", "Other"))
        anna, mia = (Person.objects.create_user(f"{name}@acme.example", "geheim") for name in ("anna", "mia"))
        Person.objects.create_user("sofie@acme.example", "geheim", is_staff=True, is_superuser=True)
        for person in (anna, mia):
            Membership.objects.create(org=acme, user=person)
        for number in range(3):
            Invoice.objects.create(org=other, amount=number)
    """)
    return project


def in_client(program: str) -> str:
    """The program with a function that logs a client in, and one that prints JSON."""
    start = """
        import json
        from django.test import Client
        from company.models import Company, Invoice, Membership, Person

        def client(name):
            made = Client()
            made.force_login(Person.objects.get(email=f"{name}@acme.example"))
            return made
    """
    return start + program


def test_the_hosts_own_checks_and_migrations_are_as_before(host: ForeignProject) -> None:
    assert "no issues" in host.manage("check")
    assert "No changes detected" in host.manage("makemigrations", "--check", "--dry-run")


@pytest.fixture(scope="module")
def called(host: ForeignProject) -> ForeignProject:
    """Mia has called the host's view once, and the call is in the ledger."""
    answers = host.json(
        in_client("""
        print(json.dumps([client("mia").get("/rechnung/").content.decode()]))
    """)
    )
    assert answers == ["4 invoices"]
    host.manage("drain_usage")
    return host


def test_a_call_of_a_hosts_view_is_recorded_priced_and_attributed(called: ForeignProject) -> None:
    (record,) = called.json("""
        import json
        from company.models import Person
        from usage_billing.models import UsageRecord

        (record,) = UsageRecord.objects.using("costs").all()
        print(json.dumps([{
            "org": [record.org.name, record.org.external_key, record.org.timezone], "agent": record.agent_id,
            "is_mia": record.user_id == Person.objects.get(email="mia@acme.example").pk,
            "is_priced": record.cost_usd > 0,
        }]))
    """)
    assert record == {
        "org": ["Acme", "company-1", "Europe/Berlin"], "agent": "clerk", "is_mia": True, "is_priced": True,
    }  # fmt: skip
    assert "equal" in called.manage("check_usage")


def grant_roles(host: ForeignProject) -> None:
    host.shell("""
        from company.models import Person
        from usage_billing.models import Membership, Organization

        org = Organization.objects.get(external_key="company-1")
        for name, role in (("anna", "owner"), ("mia", "member")):
            key = Person.objects.get(email=f"{name}@acme.example").pk
            Membership.objects.get_or_create(org=org, user_id=key, role=role)
    """)


COUNT = "import json; from usage_billing.models import UsageRecord; print(json.dumps(UsageRecord.objects.count()))"
SEEN = in_client("""
        def seen(name):
            page = client(name).get("/superadmin/ai-costs" if name == "sofie" else "/usage/")
            api = client(name).get("/api/billing/usage/tokens/summary").json()
            users = client(name).get("/api/billing/usage/tokens/by-user").json()
            return {
                "page": page.status_code, "names_agent": "clerk" in page.content.decode(),
                "calls": api["data"]["all_time"]["requests_count"],
                "user": users["data"]["items"][0]["user"] if users["success"] else None,
            }

        print(json.dumps({name: seen(name) for name in ("sofie", "anna", "mia")}))
""")


def expect_everybody_sees_the_call(host: ForeignProject) -> None:
    found: dict[str, Any] = host.json(SEEN)
    assert {uuid.UUID(each.pop("user")) for each in found.values()}
    expected = {"page": 200, "names_agent": True, "calls": 1}
    assert found == dict.fromkeys(("sofie", "anna", "mia"), expected)


def test_pages_and_api_show_it_whatever_the_hosts_defaults_are(called: ForeignProject) -> None:
    grant_roles(called)
    expect_everybody_sees_the_call(called)


def test_the_hosts_api_keeps_its_own_defaults(called: ForeignProject) -> None:
    answers = called.json(
        in_client("""
        import base64
        basic = "Basic " + base64.b64encode(b"sofie@acme.example:geheim").decode()
        taken = Client().get("/api/invoices/", headers={"Authorization": basic})
        refused = Client().get("/api/invoices/")
        unknown = Client().get("/api/nothing/")
        print(json.dumps([
            [taken.status_code, taken.content.decode()], [refused.status_code, refused.content.decode()],
            unknown.status_code, unknown["Content-Type"].split(";")[0],
        ]))
    """)
    )
    assert answers == [[200, "HOST invoices"], [418, "HOST refused"], 404, "text/html"]


def test_the_hosts_admin_is_its_own_and_has_ours_beside_it(called: ForeignProject) -> None:
    statuses = called.json(
        in_client("""
        from django.contrib import admin

        sofie = client("sofie")
        ours = [model._meta.model_name for model in admin.site._registry if model._meta.app_label == "usage_billing"]
        pages = ["", "company/person/", "company/person/add/", "company/company/"]
        pages += [f"usage_billing/{name}/" for name in ours]
        registered = type(admin.site._registry[Person]).__module__
        print(json.dumps([registered, len(ours) > 2, {p: sofie.get(f"/verwaltung/{p}").status_code for p in pages}]))
    """)
    )
    registered, has_ours, found = statuses
    assert (registered, has_ours) == ("company.admin", True)
    assert set(found.values()) == {200}, found


def test_the_hosts_tests_drain_nothing_of_its_outbox(called: ForeignProject, server: postgres.Server) -> None:
    called.json(
        in_client("""
        print(json.dumps(client("mia").get("/rechnung/").status_code))
    """)
    )
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute("ALTER ROLE host CREATEDB")
    assert "OK" in called.manage("test")
    called.manage("drain_usage")
    count = called.json(
        "import json; from usage_billing.models import UsageRecord as U; print(json.dumps(U.objects.count()))"
    )
    assert count == 2
    called.shell("from usage_billing.models import UsageRecord as U; U.objects.order_by('-id').first().delete()")
    called.manage("rebuild_daily", "--from", "2026-01-01", "--to", "2036-01-01")


def test_a_secured_database_touches_no_table_of_the_host(called: ForeignProject, server: postgres.Server) -> None:
    grant_roles(called)
    refused = called.manage("secure_database", fails=True)
    assert "CREATE ROLE host_costs_web" in refused
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute("ALTER ROLE host CREATEROLE")
    called.manage("secure_database")
    secured = ForeignProject(called.folder, called.python, {**called.environment, "SECURED": "1"})
    expect_everybody_sees_the_call(secured)
    url = server.url.rpartition("/")[0]
    with psycopg.connect(f"{url}/host") as connection:
        assert connection.execute("SELECT count(*) FROM pg_policy").fetchone() == (0,)
        assert connection.execute(
            "SELECT count(*) FROM information_schema.role_table_grants WHERE grantee LIKE 'host\\_costs%'"
        ).fetchone() == (0,)
    with psycopg.connect(f"{url}/costs") as connection:
        assert connection.execute("SELECT count(*) > 5 FROM pg_policy").fetchone() == (True,)
    assert "invoices" in secured.json(
        in_client("""
        print(json.dumps(client("mia").get("/rechnung/").content.decode()))
    """)
    )


def test_a_deleted_user_takes_their_memberships_along_and_leaves_their_calls(called: ForeignProject) -> None:
    left = called.json(
        in_client("""
        from usage_billing.models import Membership as Ours, UsageRecord

        person = Person.objects.create_user("gone@acme.example", "geheim")
        key, org = person.pk, UsageRecord.objects.first().org
        Ours.objects.create(org=org, user_id=key, role="member")
        before = UsageRecord.objects.count()
        person.delete()
        print(json.dumps([Ours.objects.filter(user_id=key).count(), UsageRecord.objects.count() - before]))
    """)
    )
    assert left == [0, 0]
