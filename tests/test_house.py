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
    ("ai_clients.management", "ai_clients.apps", "ai_clients.admin", "ai_clients.api", "ai_clients.checks"),
    (
        "ai_clients.runs",
        "ai_clients.input_errors",
        "ai_clients.digest",
        "ai_clients.role_updates",
        "ai_clients.demo_people",
    ),
    ("ai_clients.enrichment", "ai_clients.custom_analysis"),
    ("ai_clients.participants", "ai_clients.content_titles"),
    ("ai_clients.model_choice",),
    ("ai_clients.provider_errors",),
    ("ai_clients.agents",),
    ("ai_clients.agent",),
    ("ai_clients.structured",),
    ("usage_billing.api", "usage_billing.pages", "usage_billing.admin", "usage_billing.management"),
    (
        "usage_billing.middleware",
        "usage_billing.scope_middleware",
        "usage_billing.auth",
        "usage_billing.recording.drain",
        "usage_billing.recording.recorder",
        "usage_billing.repricing",
        "usage_billing.archiving",
    ),
    (
        "usage_billing.ledger",
        "usage_billing.reports",
        "usage_billing.what_if",
        "usage_billing.audit",
        "usage_billing.demo_data",
        "usage_billing.database.functions",
        "usage_billing.database.walls",
        "usage_billing.spending",
    ),
    ("usage_billing.costing",),
    (
        "usage_billing.attribution",
        "usage_billing.archived",
        "usage_billing.parquet",
        "usage_billing.rollup",
        "usage_billing.pricing",
        "usage_billing.overrides",
        "usage_billing.exchange",
    ),
    ("usage_billing.metering",),
    ("usage_billing.access", "usage_billing.client_address"),
    ("usage_billing.database.roles", "usage_billing.models", "ai_clients.models", "usage_billing.monitoring"),
]

FEATURES = ("content_titles", "custom_analysis", "demo_people", "digest", "enrichment", "participants", "role_updates")
"""Of `ai_clients`: what reads the organisations' own rows, and their totals, to call a model about them."""

CALLERS = ("management", "apps", "admin", "api", "runs", *FEATURES)
"""Of `ai_clients`: what stands above the ledger and the clients alike, as any application would."""

AGENTS = ("agents", "agent", "structured")
"""Of `ai_clients`: what the agents are made of. Whom a call is charged to is all that they may say."""


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


def room(module: str) -> str:
    """The part of its package that a module belongs to."""
    return module.partition(".")[2].partition(".")[0]


def is_of(module: str, rooms: tuple[str, ...]) -> bool:
    """Whether it is one of these parts, or stands beside one: `admin_runs` beside `admin`."""
    return any(room(module) == name or room(module).startswith(f"{name}_") for name in rooms)


def test_clients_import_nothing_of_the_ledger_but_recording() -> None:
    wrong = [
        (module, name)
        for module, tree in modules("ai_clients")
        for name in imported(tree)
        if name.startswith("usage_billing")
        and not name.startswith("usage_billing.recording")
        and not is_of(module, (*CALLERS, *AGENTS))
    ]
    assert wrong == []


def test_clients_know_nothing_of_who_calls_them() -> None:
    above = (*CALLERS, *AGENTS, "input_errors", "provider_errors", "checks", "models", "model_choice", "wording")
    wrong = [
        (module, name)
        for module, tree in modules("ai_clients")
        for name in imported(tree)
        if not is_of(module, above) and name.startswith("ai_clients.") and is_of(name, above)
    ]
    assert wrong == []


def test_agents_import_nothing_of_the_ledger_but_usage_context() -> None:
    wrong = [
        (module, name)
        for module, tree in modules("ai_clients")
        for name in imported(tree)
        if is_of(module, AGENTS)
        and name.startswith("usage_billing")
        and name not in ("usage_billing", "usage_billing.usage_context")
    ]
    assert wrong == []


def test_features_import_nothing_of_the_ledger_but_what_reads_it() -> None:
    allowed = ("access", "reports", "models", "recording", "templatetags.amounts")
    wrong = [
        (module, name)
        for module, tree in modules("ai_clients")
        for name in imported(tree)
        if is_of(module, FEATURES)
        and name.startswith("usage_billing.")
        and not name.removeprefix("usage_billing.").startswith(allowed)
    ]
    assert wrong == []


def test_an_agent_imports_no_other_agent() -> None:
    wrong = [
        (module, name)
        for module, tree in modules("ai_clients")
        for name in imported(tree)
        if module.startswith("ai_clients.agents.") and name.startswith("ai_clients.agents")
    ]
    assert wrong == []


def test_usage_readers_and_simulator_know_no_django() -> None:
    pure = ("answer", "openai_usage", "anthropic_usage", "body", "stream_usage", "simulator")
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
