"""Whether PostgreSQL's walls hold this deployment; run by `check --deploy --database default`."""

from collections.abc import Sequence
from typing import Any

from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, connections

from usage_billing.conf import conf
from usage_billing.tenancy import roles


@register(Tags.database, deploy=True)
def web_is_walled_in(databases: Sequence[str] | None = None, **_kwargs: Any) -> list[CheckMessage]:
    """Run it with the web's environment: the drain's login may do more, and is to."""
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
    serve = "Serve as the web's own user, who owns nothing: docs/security.md, “Tenants and PostgreSQL”."
    if is_unbound:
        found = f"PostgreSQL's row-level security does not hold the user “{user}” that this connects as."
        return [Warning(found, hint=serve, id="usage_billing.W001")]
    messages: list[CheckMessage] = []
    if may_drain:
        messages.append(
            Warning(
                f"The user “{user}” that this connects as can take the ledger's role, and so can injected SQL.",
                hint=f"{serve} The drain and the jobs connect as {roles.DRAIN}. If this is {roles.WEB}, run "
                f"`REVOKE {roles.LEDGER} FROM {roles.WEB};` as whoever granted it.",
                id="usage_billing.W011",
            )
        )
    elif conf.DRAIN == "thread":
        messages.append(
            Warning(
                f"The user “{user}” that this connects as cannot write the ledger, and its process is to drain.",
                hint=f"Set USAGE_DRAIN=off, and run `manage.py drain_usage --follow` as {roles.DRAIN}. Calls wait.",
                id="usage_billing.W012",
            )
        )
    if may_create:
        messages.append(
            Warning(
                f"The user “{user}” that this connects as may create tables, which later requests would read instead.",
                hint="Run as the database's owner: REVOKE TEMPORARY ON DATABASE … FROM PUBLIC; "
                "REVOKE CREATE ON SCHEMA public FROM PUBLIC;",
                id="usage_billing.W013",
            )
        )
    return messages


def _scope() -> list[CheckMessage]:
    """Whether the database takes the seals of this process."""
    try:
        with roles.applied(roles.Setting(roles.WEB)):
            return []
    except (DatabaseError, ImproperlyConfigured) as error:
        return [
            Error(
                f"PostgreSQL does not take this process's scopes, so nobody would see a row: {error}",
                hint="Run `manage.py migrate` as the tables' owner, with the SECRET_KEY (or USAGE_SCOPE_KEY) of the "
                "servers.",
                id="usage_billing.E011",
            )
        ]
