"""Rules for statements, so that the same ones run on one PostgreSQL and on many nodes of Citus (docs/architecture.md).

Citus distributes the ledger's two tables by `org_id`. A statement without it asks every node, and some forms fail
there. `broken` finds them in the text of a statement, with PostgreSQL's own parser. `statement_watch` applies it to
each statement of the suite.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

from pglast import ast, parse_sql
from pglast.enums import A_Expr_Kind, BoolExprType
from pglast.parser import ParseError

from usage_billing.tenancy.distribution import COLUMN, TABLES

UNREADABLE = "The rules cannot read this statement"
UNIQUE_KEY = "A unique key of the ledger's tables has to contain org_id"
WITHOUT_ORG = "A statement over the ledger's tables needs org_id = or org_id IN, or a place in BROAD with its reason"
LOCK_WITHOUT_ORG = "FOR UPDATE over the ledger's tables needs org_id = or org_id IN"
LATERAL_LIMIT = "LATERAL with LIMIT over the ledger's tables: Citus cannot run it; ask for the days first"
SQL_FUNCTION = "A function with parameters over the ledger's tables is written in plpgsql, not in sql"
SET_CONFIG = "A setting app.… is set by SET LOCAL in a function: Citus does not hand set_config() on to its nodes"

_PLACEHOLDER = re.compile(r"%(\(\w+\))?[sbt]")
_MARKS = re.compile(r"(?:%s, ){2,}%s")
_NAMED = re.compile(rf"\b({'|'.join(sorted(TABLES))})\b")
_SETS_APP = re.compile(r"set_config\s*\(\s*'app\.", re.IGNORECASE)


def concerns(statement: str) -> bool:
    """Return whether a rule may be about the statement."""
    return "token_usage" in statement or "set_config" in statement


def uses_ledger(statement: str) -> bool:
    """Return whether a statement names the ledger's tables."""
    return bool(_NAMED.search(statement))


def broken(statement: str, values: Sequence[Any] = ()) -> frozenset[str]:
    """Return the rules that a statement, with psycopg's placeholders, breaks."""
    found, _ = _judged(statement)
    if "set_config" in statement and any(str(value).startswith("app.") for value in values):
        return found | {SET_CONFIG}
    return found


def writes(statement: str) -> bool:
    """Return whether a statement changes rows or locks them, rather than only reading them."""
    return _judged(statement)[1]


def _judged(statement: str) -> tuple[frozenset[str], bool]:
    # Two values in place of more, so that a statement is parsed once for any number of values.
    return _judged_once(_MARKS.sub("%s, %s", statement) if "%s, %s, %s" in statement else statement)


@cache
def _judged_once(statement: str) -> tuple[frozenset[str], bool]:
    try:
        trees = parse_sql(_PLACEHOLDER.sub("$1", statement).replace("%%", "%"))
    except ParseError:
        return frozenset({UNREADABLE}), False
    found = {SET_CONFIG} if _SETS_APP.search(statement) else set()
    nodes = [node for tree in trees if not isinstance(tree.stmt, ast.ViewStmt) for node in _nodes(tree.stmt)]
    for node in nodes:
        found.update(_broken_by(node))
    changing = ast.InsertStmt | ast.UpdateStmt | ast.DeleteStmt | ast.LockingClause
    return frozenset(found), any(isinstance(node, changing) for node in nodes)


def _broken_by(node: Any) -> Iterator[str]:
    match node:
        case ast.SelectStmt():
            if _lacks_org(node.fromClause or (), node.whereClause):
                yield WITHOUT_ORG
                if node.lockingClause:
                    yield LOCK_WITHOUT_ORG
        case ast.UpdateStmt():
            if _lacks_org((node.relation, *(node.fromClause or ())), node.whereClause):
                yield WITHOUT_ORG
        case ast.DeleteStmt():
            if _lacks_org((node.relation, *(node.usingClause or ())), node.whereClause):
                yield WITHOUT_ORG
        case ast.InsertStmt() if _is_of_ledger(node.relation):
            conflict = node.onConflictClause
            if conflict and conflict.infer and COLUMN not in _names(conflict.infer.indexElems):
                yield UNIQUE_KEY
        case ast.IndexStmt() if node.unique and _is_of_ledger(node.relation):
            if COLUMN not in _names(node.indexParams):
                yield UNIQUE_KEY
        case ast.RangeSubselect(lateral=True):
            inside = list(_nodes(node.subquery))
            if any(isinstance(each, ast.SelectStmt) and each.limitCount for each in inside) and any(
                isinstance(each, ast.RangeVar) and _is_of_ledger(each) for each in inside
            ):
                yield LATERAL_LIMIT
        case ast.CreateFunctionStmt():
            options: dict[Any, Any] = {option.defname: option.arg for option in node.options or ()}
            body = " ".join(str(part.sval) for part in options.get("as", ()))
            is_sql = getattr(options.get("language"), "sval", "") == "sql"
            if is_sql and node.parameters and uses_ledger(body):
                yield SQL_FUNCTION


# ── Conditions on org_id ─────────────────────────────────────────────────────────────────────────────────────────


def _lacks_org(sources: Sequence[Any], where: Any) -> bool:
    """Return whether no condition restricts one of the ledger's tables among the sources to organisations."""
    tables: list[Any] = []
    conditions, joined = [where], False
    for source in sources:
        for node in _of_one_query(source):
            if isinstance(node, ast.RangeVar):
                tables.append(node)
            elif isinstance(node, ast.JoinExpr):
                conditions.append(node.quals)
                joined = joined or COLUMN in {name.sval for name in node.usingClause or ()}
    names = {_name(table) for table in tables}
    of_ledger = [_name(table) for table in tables if _is_of_ledger(table)]
    return not joined and not all(
        any(_restricts(condition, name, names - {name}) for condition in conditions) for name in of_ledger
    )


def _restricts(condition: Any, table: str, others: set[str]) -> bool:
    """Return whether only some organisations' rows of the table meet the condition."""
    match condition:
        case ast.BoolExpr(boolop=BoolExprType.AND_EXPR):
            return any(_restricts(each, table, others) for each in condition.args or ())
        case ast.BoolExpr(boolop=BoolExprType.OR_EXPR):
            return all(_restricts(each, table, others) for each in condition.args or ())
        case ast.A_Expr(kind=A_Expr_Kind.AEXPR_OP | A_Expr_Kind.AEXPR_IN | A_Expr_Kind.AEXPR_OP_ANY):
            if [each.sval for each in condition.name or ()] != ["="]:
                return False
            sides = condition.lexpr, condition.rexpr
            # A column of another table is no value: it restricts nothing unless that table is restricted.
            return any(
                _has_key(one, table) and not any(_is_column_of(other, name) for name in others)
                for one, other in (sides, sides[::-1])
            )
        case ast.SubLink():
            return _has_key(condition.testexpr, table)
    return False


def _has_key(expression: Any, table: str) -> bool:
    if isinstance(expression, ast.RowExpr):
        return any(_has_key(each, table) for each in expression.args or ())
    if not isinstance(expression, ast.ColumnRef):
        return False
    *qualifier, name = (getattr(each, "sval", "*") for each in expression.fields or ())
    return name == COLUMN and qualifier in ([], [table])


def _is_column_of(expression: Any, table: str) -> bool:
    return isinstance(expression, ast.ColumnRef) and getattr((expression.fields or ())[0], "sval", "") == table


def _name(table: Any) -> str:
    return str(table.alias.aliasname if table.alias else table.relname)


def _names(columns: Any) -> set[str]:
    return {each.name for each in columns or ()}


def _is_of_ledger(table: Any) -> bool:
    return table.relname in TABLES


# ── The tree ─────────────────────────────────────────────────────────────────────────────────────────────────────


def _nodes(tree: Any) -> Iterator[Any]:
    """Yield a node and all nodes below it."""
    if isinstance(tree, tuple | list):
        for each in tree:
            yield from _nodes(each)
    elif isinstance(tree, ast.Node):
        yield tree
        for name in tree:
            yield from _nodes(getattr(tree, name))


def _of_one_query(source: Any) -> Iterator[Any]:
    """Yield the tables and joins of a source, but not those within its subqueries."""
    yield source
    if isinstance(source, ast.JoinExpr):
        yield from _of_one_query(source.larg)
        yield from _of_one_query(source.rarg)
