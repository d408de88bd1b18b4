"""Seals scopes, so that PostgreSQL can tell the application's scope from one that injected SQL has set.

A scope is one setting, `app.scope`: `user|{owned organisations}|{member's organisations}|everything|until|seal`. The
seal is an HMAC-SHA256 (RFC 2104) of the rest. Its key comes from the application's environment, and is stored in a
table that only the tables' owner can read: injected SQL cannot make a seal. Policies read the scope only through
`usage_scope()`, which returns NULLs if the seal is wrong.
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
"""The name of the setting. It is a single one, so that no part can be changed without the others."""
VALID_S = 600
"""For how many seconds a sealed scope may begin a transaction. It then holds until the transaction ends."""
KEY_TABLE = "usage_scope_key"
USER_ID = "(SELECT (usage_scope()).user_id)"
OWNED_ORG_IDS = "(SELECT (usage_scope()).owned_org_ids)::bigint[]"
MEMBER_ORG_IDS = "(SELECT (usage_scope()).member_org_ids)::bigint[]"
EVERYTHING = "(SELECT (usage_scope()).everything)"
"""Conditions for policies. A SELECT without a table is evaluated once per statement, a bare function once per row.

Once per statement is faster, and the security depends on it: another column, or the next FETCH of a cursor, may call
`set_config` between two rows. A policy that read the setting at each row would then see the widened scope.
"""
REPLACED_VALID = "1 hour"
"""For how long a replaced key stays valid, which gives time to restart the servers that use it."""


def until(now: float) -> int:
    """The time until which a scope sealed now may begin a transaction. Both in epoch seconds."""
    return int(now) + VALID_S


def sealed(
    *, user_id: Any, owned_org_ids: Iterable[int], member_org_ids: Iterable[int], everything: bool, until: int
) -> str:
    """The text of a scope with its seal. `until`: epoch seconds. `usage_enter_scope` builds the same text in SQL."""
    user = "" if user_id is None else str(user_id)
    if "|" in user:
        raise ValueError("A user whose key contains “|” cannot have a scope.")
    parts = [user, _array(owned_org_ids), _array(member_org_ids), "t" if everything else "f", str(until)]
    text = "|".join(parts)
    return f"{text}|{_seal(text)}"


def proof(user_id: Any, until: int) -> str:
    """The proof that `usage_enter_scope` checks. It never equals a seal: no sealed text begins with a word."""
    return _seal(f"enter|{user_id}|{until}")


def _array(ids: Iterable[int]) -> str:
    return "{" + ",".join(map(str, sorted(ids))) + "}"


def _seal(text: str) -> str:
    return hmac.new(_key(), text.encode(), hashlib.sha256).hexdigest()


def _key() -> bytes:
    secret = settings.SECRET_KEY if conf.SCOPE_KEY is None else conf.SCOPE_KEY
    if not secret:
        raise ImproperlyConfigured(
            "PostgreSQL shows rows only to a sealed scope, and there is no key for the seal. Set SECRET_KEY or "
            "USAGE_SCOPE_KEY to the value that the servers and the last `manage.py migrate` use."
        )
    return _derived(secret)


@functools.lru_cache(maxsize=4)
def _derived(secret: str) -> bytes:
    return salted_hmac("usage_billing.tenancy.seal", "scope", secret=secret, algorithm="sha256").digest()


def create(connection: BaseDatabaseWrapper) -> None:
    """Store the key, and create the functions that check it. Raises `ImproperlyConfigured` if there is no key."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT quote_ident(current_schema())")
        (schema,) = cursor.fetchone()
        cursor.execute(_KEY_TABLE)
        _store_key(cursor)
        user = user_keys.sql_type(connection)
        for function in (_scope(f"{schema}.{KEY_TABLE}", user), _set_scope(schema), _enter_scope(schema, user)):
            cursor.execute(function)


def _store_key(cursor: Any) -> None:
    """Store this application's key. The previous key stays valid for `REPLACED_VALID`."""
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
    """The inner and the outer pad of RFC 2104: the key, padded to SHA-256's block of 64 bytes, XOR each constant."""
    block = _key().ljust(64, b"\0")
    return bytes(byte ^ 0x36 for byte in block), bytes(byte ^ 0x5C for byte in block)


_KEY_TABLE = f"""
CREATE TABLE IF NOT EXISTS {KEY_TABLE} (
    inner_pad bytea NOT NULL, outer_pad bytea NOT NULL, valid_until timestamptz NOT NULL
)
"""

_AS_OWNER = "SECURITY DEFINER SET search_path = pg_catalog, pg_temp"
"""Run with the rights of the tables' owner, and resolve names by this search path, not by the caller's."""


def _hmac(text: str, key: str) -> str:
    """HMAC-SHA256 in SQL, with one row of the key table. pgcrypto, which has it built in, is not always installed."""
    return f"encode(sha256({key}.outer_pad || sha256({key}.inner_pad || convert_to({text}, 'UTF8'))), 'hex')"


def _scope(key_table: str, user: str) -> str:
    """SQL of a function that returns the parts of the current scope; all NULL without a scope or a valid seal."""
    return f"""
CREATE OR REPLACE FUNCTION usage_scope(
    OUT user_id {user}, OUT owned_org_ids bigint[], OUT member_org_ids bigint[], OUT everything boolean
) LANGUAGE plpgsql STABLE PARALLEL SAFE {_AS_OWNER} AS $$
DECLARE
    -- Read once, so that the checked text is the returned one.
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
    """SQL that sets a scope until the transaction ends. A wrong seal raises an error instead of hiding all rows."""
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
    """SQL that sets the scope of a user's memberships and returns them. `proof` shows that the application asks."""
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
    """`SET LOCAL`, because Citus does not pass `set_config` on to its nodes. It takes 2 µs more, of 70."""
    return f"EXECUTE format('SET LOCAL {SCOPE} = %L', {scope})"


def _refuse(what: str) -> str:
    return (
        f"RAISE invalid_authorization_specification USING MESSAGE = '{what} is wrong, or too old.', HINT ="
        " 'Run `manage.py migrate` with the SECRET_KEY of the servers. Compare the clocks of server and database.'"
    )
