"""PostgreSQL: the seal of a scope, which tells the application's statements from those of somebody who injected SQL.

A scope is one setting, `app.scope`: `user|{owned organisations}|{member's organisations}|everything|until|seal`. The
seal is an HMAC-SHA256 (RFC 2104) of the rest. Its key comes from the application's environment, and lies in a table
that only the tables' owner reads: who merely sends statements can make none. Policies read the scope by `usage_scope()`
alone, which gives nothing where the seal is wrong.
"""

from __future__ import annotations

import functools
import hashlib
import hmac
from collections.abc import Iterable
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils.crypto import salted_hmac

from usage_billing.conf import conf
from usage_billing.models import user_keys

SCOPE = "app.scope"
"""The setting. One alone, so that no part of it can be changed without the others."""
VALID_S = 600
"""How many seconds after it was sealed a scope may begin a transaction; it holds until that ends."""
KEY_TABLE = "usage_scope_key"
USER_ID = "(SELECT (usage_scope()).user_id)"
OWNED_ORG_IDS = "(SELECT (usage_scope()).owned_org_ids)::bigint[]"
MEMBER_ORG_IDS = "(SELECT (usage_scope()).member_org_ids)::bigint[]"
EVERYTHING = "(SELECT (usage_scope()).everything)"
"""For policies. A SELECT without a table is evaluated once a statement, where a function would be at each row.

That is quicker, and it is what makes the wall one: while rows come, another column or the next FETCH of a cursor may
call `set_config`. A setting that a policy reads at each row would be widened after it had been checked.
"""
REPLACED_VALID = "1 hour"
"""For how long a replaced key still holds: until the servers that have it are restarted."""


def until(now: float) -> int:
    """Until when a scope that is sealed now may begin a transaction. Both in epoch seconds."""
    return int(now) + VALID_S


def sealed(
    *, user_id: Any, owned_org_ids: Iterable[int], member_org_ids: Iterable[int], everything: bool, until: int
) -> str:
    """The scope as PostgreSQL takes it. `until`: epoch seconds. `usage_enter_scope` makes the same text."""
    user = "" if user_id is None else str(user_id)
    if "|" in user:
        raise ValueError("A user whose key has a “|” in it cannot have a scope.")
    parts = [user, _array(owned_org_ids), _array(member_org_ids), "t" if everything else "f", str(until)]
    text = "|".join(parts)
    return f"{text}|{_seal(text)}"


def proof(user_id: Any, until: int) -> str:
    """What `usage_enter_scope` wants to see. No text that is sealed as a scope begins with a word."""
    return _seal(f"enter|{user_id}|{until}")


def _array(ids: Iterable[int]) -> str:
    return "{" + ",".join(map(str, sorted(ids))) + "}"


def _seal(text: str) -> str:
    return hmac.new(_key(), text.encode(), hashlib.sha256).hexdigest()


def _key() -> bytes:
    secret = settings.SECRET_KEY if conf.SCOPE_KEY is None else conf.SCOPE_KEY
    if not secret:
        raise ImproperlyConfigured(
            "PostgreSQL shows rows only to a scope with a seal, and there is no key for one. Set SECRET_KEY, or "
            "USAGE_SCOPE_KEY, to what the servers and the last `manage.py migrate` have."
        )
    return _derived(secret)


@functools.lru_cache(maxsize=4)
def _derived(secret: str) -> bytes:
    return salted_hmac("usage_billing.tenancy.seal", "scope", secret=secret, algorithm="sha256").digest()


def create(connection: BaseDatabaseWrapper) -> None:
    """Store the key, and create the functions that check it. Raises `ImproperlyConfigured` where there is no key."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT quote_ident(current_schema())")
        (schema,) = cursor.fetchone()
        cursor.execute(_KEY_TABLE)
        _store_key(cursor)
        user = user_keys.sql_type(connection)
        for function in (_scope(f"{schema}.{KEY_TABLE}", user), _set_scope(schema), _enter_scope(schema, user)):
            cursor.execute(function)


def _store_key(cursor: Any) -> None:
    """Keep this application's key; another one that was there holds for as long as servers may still have it."""
    inner, outer = _pads()
    cursor.execute(f"SELECT inner_pad, outer_pad FROM {KEY_TABLE} WHERE valid_until = 'infinity'")
    there = [tuple(map(bytes, row)) for row in cursor.fetchall()]
    if there == [(inner, outer)]:
        return
    cursor.execute(f"DELETE FROM {KEY_TABLE} WHERE valid_until < now() OR outer_pad = %s", [outer])
    cursor.execute(
        f"UPDATE {KEY_TABLE} SET valid_until = now() + %s::interval WHERE valid_until = 'infinity'",
        [REPLACED_VALID],
    )
    cursor.execute(f"INSERT INTO {KEY_TABLE} VALUES (%s, %s, 'infinity')", [inner, outer])


def _pads() -> tuple[bytes, bytes]:
    """RFC 2104: the key, filled up to SHA-256's block of 64 bytes, with each of the two constants."""
    block = _key().ljust(64, b"\0")
    return bytes(byte ^ 0x36 for byte in block), bytes(byte ^ 0x5C for byte in block)


_KEY_TABLE = f"""
CREATE TABLE IF NOT EXISTS {KEY_TABLE} (
    inner_pad bytea NOT NULL, outer_pad bytea NOT NULL, valid_until timestamptz NOT NULL
)
"""

_AS_OWNER = "SECURITY DEFINER SET search_path = pg_catalog, pg_temp"
"""With the rights of the tables' owner. Names mean what they mean here, not what the caller has them mean."""


def _hmac(text: str, key: str) -> str:
    """HMAC-SHA256 in SQL, by a row of the keys. pgcrypto, which has a function for it, is not everywhere."""
    return f"encode(sha256({key}.outer_pad || sha256({key}.inner_pad || convert_to({text}, 'UTF8'))), 'hex')"


def _scope(key_table: str, user: str) -> str:
    """The parts of the scope that is set; all NULL where there is none, or where the application has not sealed it."""
    return f"""
CREATE OR REPLACE FUNCTION usage_scope(
    OUT user_id {user}, OUT owned_org_ids bigint[], OUT member_org_ids bigint[], OUT everything boolean
) LANGUAGE plpgsql STABLE PARALLEL SAFE {_AS_OWNER} AS $$
DECLARE
    -- Read once: what is checked is what is given out.
    scope text := current_setting('{SCOPE}', true);
    body text := left(scope, -65);
BEGIN
    IF scope <> ''
        AND EXISTS (SELECT FROM {key_table} k WHERE k.valid_until > now() AND {_hmac("body", "k")} = right(scope, 64))
        AND split_part(body, '|', 5)::bigint > extract(epoch FROM now())  -- when the transaction began
    THEN
        user_id := nullif(split_part(body, '|', 1), '')::{user};
        owned_org_ids := split_part(body, '|', 2)::bigint[];
        member_org_ids := split_part(body, '|', 3)::bigint[];
        everything := split_part(body, '|', 4)::boolean;
    END IF;
END $$
"""


def _set_scope(schema: str) -> str:
    """Set a scope to the end of the transaction. A wrong seal is an error: without it there would be no rows at all."""
    return f"""
CREATE OR REPLACE FUNCTION usage_set_scope(scope text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    {_set_local("scope")};
    IF scope <> '' AND ({schema}.usage_scope()).everything IS NULL THEN
        {_refuse("The seal of this scope")};
    END IF;
END $$
"""


def _enter_scope(schema: str, user: str) -> str:
    """Set the scope of a user's memberships, and return them. `proof` shows that the application asks for it."""
    return f"""
CREATE OR REPLACE FUNCTION usage_enter_scope(who {user}, until bigint, proof text)
RETURNS TABLE (org_id bigint, role text, timezone text) LANGUAGE plpgsql {_AS_OWNER} AS $$
DECLARE
    key {schema}.{KEY_TABLE};
    scope text;
BEGIN
    SELECT k.* INTO key FROM {schema}.{KEY_TABLE} k
        WHERE k.valid_until > now() AND {_hmac("format('enter|%s|%s', who, until)", "k")} = proof;
    IF NOT FOUND OR position('|' IN who::text) > 0 OR until <= extract(epoch FROM now()) THEN
        {_refuse("The proof of this user")};
    END IF;
    SELECT format('%s|%s|%s|f|%s', who,
            coalesce(array_agg(m.org_id ORDER BY m.org_id) FILTER (WHERE m.role = 'owner'), '{{}}'),
            coalesce(array_agg(m.org_id ORDER BY m.org_id) FILTER (WHERE m.role = 'member'), '{{}}'), until)
        INTO scope FROM {schema}.usage_membership m WHERE m.user_id = who;
    {_set_local(f"scope || '|' || {_hmac('scope', 'key')}")};
    RETURN QUERY SELECT m.org_id, m.role::text, o.timezone::text
        FROM {schema}.usage_membership m JOIN {schema}.usage_organization o ON o.id = m.org_id
        WHERE m.user_id = who ORDER BY m.org_id;
END $$
"""


def _set_local(scope: str) -> str:
    """Not `set_config`, which Citus does not pass on to the nodes; 2 µs more than that, out of 70."""
    return f"EXECUTE format('SET LOCAL {SCOPE} = %L', {scope})"


def _refuse(what: str) -> str:
    return (
        f"RAISE invalid_authorization_specification USING MESSAGE = '{what} is wrong, or too old.', HINT ="
        " 'Run `manage.py migrate` with the SECRET_KEY of the servers. Compare the clocks of server and database.'"
    )
