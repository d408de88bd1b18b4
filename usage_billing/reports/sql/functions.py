"""Totals as SQL functions, and the calls to OpenAI as a view, for people who work in SQL.

Both run with the caller's rights, so row-level security applies. SQLite has only the view.
"""

from __future__ import annotations

from django.conf import settings
from django.db.backends.base.base import BaseDatabaseWrapper

from usage_billing.ledger import rollup
from usage_billing.models import ArchiveFile
from usage_billing.tenancy.roles import WEB
from usage_billing.tenancy.seal import MEMBER_ORG_IDS, OWNED_ORG_IDS, USER_ID

VIEW = "openai_api_logs"
_CALLS_TO_OPENAI = """
    SELECT org_id, request_type, ai_model AS model, prompt_tokens, completion_tokens, total_tokens, cost_usd, cost_rub,
        request_metadata AS metadata, user_id AS created_by, created_at
    FROM token_usage WHERE ai_provider = 'openai'
"""


def drop_view(connection: BaseDatabaseWrapper) -> None:
    """Drop the view, because PostgreSQL does not alter a column that a view uses."""
    with connection.cursor() as cursor:
        cursor.execute(f"DROP VIEW IF EXISTS {VIEW}")


def create(connection: BaseDatabaseWrapper) -> None:
    """Create the view and the functions, or replace them."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            # Without security_invoker the view reads with its owner's rights and shows every tenant's calls.
            cursor.execute(f"CREATE OR REPLACE VIEW {VIEW} WITH (security_invoker = true) AS {_CALLS_TO_OPENAI}")
            for function in (_COST_SUMMARY, _OPENAI_COST_SUMMARY, _refresh()):
                cursor.execute(function)
        elif connection.vendor == "sqlite":
            cursor.execute(f"DROP VIEW IF EXISTS {VIEW}")
            cursor.execute(f"CREATE VIEW {VIEW} AS {_CALLS_TO_OPENAI}")


_TOTALS = """TABLE (
    total_requests bigint, total_tokens bigint, total_cost_usd numeric, total_cost_rub numeric, by_request_type jsonb
)"""

_SINCE = f"""
    SELECT (now() AT TIME ZONE coalesce(
        CASE WHEN $1 IS NOT NULL OR current_user = '{WEB}' THEN (
            SELECT CASE WHEN count(DISTINCT o.timezone) = 1 THEN min(o.timezone) END
            FROM usage_organization o WHERE $1 IS NULL OR o.id = $1
        ) END,
        '{settings.TIME_ZONE}'
    ))::date - $2 + 1 AS day
"""
"""The period's first day. Today: in the organisation's zone, else in the caller's if all their organisations share one,
else in the project's."""

_SUMMED_UP = f"""
    SELECT coalesce(sum(requests), 0)::bigint, least(coalesce(sum(tokens), 0), {2**63 - 1})::bigint,
        CASE WHEN sum(requests) > sum(unpriced_usd) IS NOT FALSE THEN coalesce(sum(usd), 0) END,
        CASE WHEN sum(requests) > sum(unpriced_rub) IS NOT FALSE THEN coalesce(sum(rub), 0) END,
        coalesce(jsonb_object_agg(request_type, jsonb_build_object(
            'requests', requests, 'tokens', tokens, 'cost_usd', CASE WHEN requests > unpriced_usd THEN usd END,
            'cost_rub', CASE WHEN requests > unpriced_rub THEN rub END,
            'unpriced', unpriced_usd, 'unpriced_rub', unpriced_rub
        )), '{{}}')
    FROM types
"""
"""An amount is NULL, not zero, where there are calls and no amount is known."""

_BY_TYPE = """
    SELECT d.request_type, sum(d.requests_count) AS requests, sum(d.total_tokens) AS tokens, sum(d.cost_usd) AS usd,
        sum(d.cost_rub) AS rub, sum(d.unpriced_usd_count) AS unpriced_usd, sum(d.unpriced_rub_count) AS unpriced_rub
    FROM token_usage_daily d, since WHERE d.usage_date >= since.day
"""


def _summary(name: str, of_everything: str, of_an_organization: str, narrowed: str = "") -> str:
    """A function that reads the coarsest grain, in three parts: for a superadmin, for an owner, for a member.

    A person may be owner and member. An owner's organisations are named, because a policy does not lead into an
    index. A member reads the cube, because policies hide the coarser rows. In PL/pgSQL, because Citus cannot hand a
    parameter of an SQL function on to its nodes.
    """
    return f"""
CREATE OR REPLACE FUNCTION {name}(org_id bigint DEFAULT NULL, days integer DEFAULT 30)
RETURNS {_TOTALS} LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY WITH since AS ({_SINCE}), visible AS (
        {_BY_TYPE} {narrowed} AND current_user <> '{WEB}' AND d.org_id = coalesce($1, {rollup.ALL["org_id"]})
            AND d.grain = CASE WHEN $1 IS NULL THEN '{of_everything}' ELSE '{of_an_organization}' END
        GROUP BY d.request_type
        UNION ALL
        {_BY_TYPE} {narrowed} AND current_user = '{WEB}' AND d.grain = '{of_an_organization}'
            AND d.org_id = ANY ({OWNED_ORG_IDS}) AND ($1 IS NULL OR d.org_id = $1)
        GROUP BY d.request_type
        UNION ALL
        {_BY_TYPE} {narrowed} AND current_user = '{WEB}' AND d.grain = 'cube' AND d.user_id = {USER_ID}
            AND d.org_id = ANY ({MEMBER_ORG_IDS}) AND ($1 IS NULL OR d.org_id = $1)
        GROUP BY d.request_type
    ), types AS (
        SELECT request_type, sum(requests) AS requests, sum(tokens) AS tokens, sum(usd) AS usd, sum(rub) AS rub,
            sum(unpriced_usd) AS unpriced_usd, sum(unpriced_rub) AS unpriced_rub
        FROM visible GROUP BY request_type
    ) {_SUMMED_UP};
END $$
"""


_COST_SUMMARY = _summary("get_ai_cost_summary", "type", "org_type")
_OPENAI_COST_SUMMARY = _summary("get_openai_cost_summary", "mix", "org_mix", "AND d.ai_provider = 'openai'")


def _refresh() -> str:
    """Recompute every grain of a range of days from the ledger in one transaction, as `rebuild_daily` does."""
    days = "usage_date BETWEEN $1 AND $2"
    repairs = ";\n    ".join(rollup.repair_sql(of, days, "postgresql") for of in rollup.ROLLUPS)
    deletions = ";\n    ".join(f"DELETE FROM {of.table} WHERE {days} AND requests_count = 0" for of in rollup.ROLLUPS)
    return f"""
CREATE OR REPLACE FUNCTION refresh_token_usage_daily("from" date, "to" date)
RETURNS void LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('usage_billing.rebuild'));
    {repairs};
    {deletions};
    -- Checked last, so that no call was archived before it was added up.
    IF EXISTS (
        SELECT FROM {ArchiveFile._meta.db_table} f WHERE f.month <= $2 AND f.month + interval '1 month' > $1
    ) THEN
        RAISE EXCEPTION 'Calls of these days are archived: `manage.py restore_usage` brings them back.';
    END IF;
END $$
"""
