"""Checks that row-level security applies to the web's login: `check --deploy --database default`."""

from collections.abc import Sequence
from typing import Any

from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, connections

from usage_billing.conf import conf
from usage_billing.tenancy import roles


@register(Tags.database, deploy=True)
def web_login_is_restricted(databases: Sequence[str] | None = None, **_kwargs: Any) -> list[CheckMessage]:
    """Run this check with the web's environment: the drain's login has more rights on purpose."""
    found: list[CheckMessage] = []
    for alias in databases or ():
        if connections[alias].vendor == "postgresql":
            with connections[alias].cursor() as cursor:
                found += _login(cursor)
            found += _scope()
    return found


def _login(cursor: Any) -> list[CheckMessage]:
    cursor.execute(
        "SELECT current_user, rolsuper OR rolbypassrls OR EXISTS"
        " (SELECT FROM pg_class WHERE relrowsecurity AND pg_has_role(relowner, 'USAGE')), coalesce("
        " (SELECT pg_has_role(oid, 'MEMBER') FROM pg_roles WHERE rolname = %s), false),"
        " has_database_privilege(current_database(), 'TEMPORARY') OR has_schema_privilege(current_schema(), 'CREATE')"
        " FROM pg_roles WHERE rolname = current_user",
        [roles.LEDGER],
    )
    user, is_unbound, may_drain, may_create = cursor.fetchone()
    serve = "Connect as a user who owns no tables: docs/security.md, “Tenants and PostgreSQL”."
    if is_unbound:
        found = f"The web connects as “{user}”, a user who bypasses PostgreSQL's row-level security."
        return [Warning(found, hint=serve, id="usage_billing.W001")]
    messages: list[CheckMessage] = []
    if may_drain:
        messages.append(
            Warning(
                f"The web connects as “{user}”, who can take the ledger's role. So can injected SQL.",
                hint=f"{serve} The drain and the jobs connect as {roles.DRAIN}. If this is {roles.WEB}, run "
                f"`REVOKE {roles.LEDGER} FROM {roles.WEB};` as the user who granted it.",
                id="usage_billing.W011",
            )
        )
    elif conf.DRAIN == "thread":
        messages.append(
            Warning(
                f"This process is configured to drain, but its user “{user}” cannot write the ledger.",
                hint=f"Set USAGE_DRAIN=off, and run `manage.py drain_usage --follow` as {roles.DRAIN}. "
                "Calls wait in the outbox until then.",
                id="usage_billing.W012",
            )
        )
    if may_create:
        messages.append(
            Warning(
                f"The web connects as “{user}”, who may create tables. Later requests would read those instead.",
                hint="Run as the database's owner: REVOKE TEMPORARY ON DATABASE … FROM PUBLIC; "
                "REVOKE CREATE ON SCHEMA public FROM PUBLIC;",
                id="usage_billing.W013",
            )
        )
    return messages


def _scope() -> list[CheckMessage]:
    """Check that the database accepts the seals of this process."""
    try:
        with roles.applied(roles.Setting(roles.WEB)):
            return []
    except (DatabaseError, ImproperlyConfigured) as error:
        return [
            Error(
                f"PostgreSQL rejects the scopes of this process, so nobody would see a row: {error}",
                hint="Run `manage.py migrate` as the tables' owner, with the SECRET_KEY (or USAGE_SCOPE_KEY) that the "
                "servers use.",
                id="usage_billing.E011",
            )
        ]
