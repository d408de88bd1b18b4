"""The plan of the house: imports point one way."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# Layer by layer, upper ones may import lower ones. A file belongs to the longest prefix that it starts with.
LAYERS: list[tuple[str, ...]] = [
    ("config",),
    ("ai_clients.management", "ai_clients.apps"),
    ("usage_billing.api", "usage_billing.pages", "usage_billing.admin", "usage_billing.management"),
    (
        "usage_billing.middleware",
        "usage_billing.scope_middleware",
        "usage_billing.recording.drain",
        "usage_billing.recording.recorder",
        "usage_billing.repricing",
    ),
    (
        "usage_billing.ledger",
        "usage_billing.reports",
        "usage_billing.what_if",
        "usage_billing.audit",
        "usage_billing.demo_data",
        "usage_billing.database.functions",
        "usage_billing.database.walls",
    ),
    ("usage_billing.costing",),
    (
        "usage_billing.attribution",
        "usage_billing.rollup",
        "usage_billing.pricing",
        "usage_billing.overrides",
        "usage_billing.exchange",
    ),
    ("usage_billing.metering",),
    ("usage_billing.access",),
    ("usage_billing.database.roles", "usage_billing.models"),
]


def modules(package: str) -> Iterator[tuple[str, ast.Module]]:
    for path in sorted((ROOT / package).rglob("*.py")):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        yield name, ast.parse(path.read_text())


def imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def layer(module: str) -> int | None:
    found = [
        (len(prefix), number)
        for number, prefixes in enumerate(LAYERS)
        for prefix in prefixes
        if module == prefix or module.startswith((f"{prefix}.", f"{prefix}_"))
    ]
    return max(found)[1] if found else None


def test_usage_billing_never_imports_ai_clients() -> None:
    wrong = [
        (module, name)
        for module, tree in modules("usage_billing")
        for name in imported(tree)
        if name.split(".")[0] in ("ai_clients", "config", "tests", "bench")
    ]
    assert wrong == []


def test_ai_clients_imports_nothing_of_the_ledger_but_recording() -> None:
    # The demo command and the page's hook are callers like any other application, above both.
    callers = ("ai_clients.management.", "ai_clients.apps")
    wrong = [
        (module, name)
        for module, tree in modules("ai_clients")
        for name in imported(tree)
        if name.startswith("usage_billing")
        and not name.startswith("usage_billing.recording")
        and not module.startswith(callers)
    ]
    assert wrong == []


def test_usage_readers_and_simulator_know_no_django() -> None:
    pure = ("answer", "openai_usage", "anthropic_usage", "transcript", "stream_usage", "simulator")
    wrong = [
        (module, name)
        for module, tree in modules("ai_clients")
        for name in imported(tree)
        if module.startswith(tuple(f"ai_clients.{name}" for name in pure)) and name.split(".")[0] == "django"
    ]
    assert wrong == []


@pytest.mark.parametrize("package", ["usage_billing", "ai_clients"])
def test_imports_point_down(package: str) -> None:
    wrong = []
    for module, tree in modules(package):
        here = layer(module)
        for name in imported(tree):
            there = layer(name)
            # The drain hands over to the ledger: the one import down a name, made when it runs.
            if here is not None and there is not None and there < here:
                wrong.append((module, name))
    assert wrong == []


def test_one_writer_and_one_reader_of_the_totals() -> None:
    """Only the ledger writes records and totals; only reports, the ledger and its audit read totals."""
    allowed = {"ledger", "reports.totals", "audit", "rollup", "models", "models.daily_usage", "database.walls", "apps"}
    readers = {
        module.removeprefix("usage_billing.")
        for module, tree in modules("usage_billing")
        if any(name.endswith(".DailyUsage") for name in imported(tree))
    }
    assert readers - allowed == set()
