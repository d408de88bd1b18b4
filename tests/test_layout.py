"""Rules of the layout that import contracts (`tool.importlinter` in pyproject.toml) cannot state."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


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


def test_an_app_has_no_loose_modules() -> None:
    allowed = {"__init__.py", "apps.py", "checks.py", "conf.py", "signals.py", "urls.py"}
    for app in ("usage_billing", "ai_clients/assistants"):
        assert {path.name for path in (ROOT / app).glob("*.py")} <= allowed


def test_an_agent_imports_no_other_agent_and_of_the_ledger_only_context_and_settings() -> None:
    allowed = {"usage_billing", "usage_billing.usage_context", "usage_billing.conf", "usage_billing.conf.conf"}
    # The choice of a model asks the budgets whether a cheaper one is to be used.
    of_calls = {
        "usage_billing.budgets.downgrades",
        "usage_billing.budgets.downgrades.replacement",
        "usage_billing.recording",
        "usage_billing.recording.current_attribution",
    }
    wrong = [
        (module, name)
        for module, tree in modules("ai_clients")
        for name in imported(tree)
        if (module.startswith("ai_clients.assistants.agents.") and name.startswith("ai_clients.assistants.agents"))
        or (
            module.startswith(("ai_clients.assistants.agents", "ai_clients.assistants.calls"))
            and name.startswith("usage_billing")
            and name not in allowed
            and not (module == "ai_clients.assistants.calls.model_choice" and name in of_calls)
        )
    ]
    assert wrong == []


def test_one_writer_and_one_reader_of_the_totals() -> None:
    """Only the ledger writes records and rollups; only reports and the ledger read rollups."""
    allowed = {
        "ledger.writer",
        "ledger.consistency",
        "ledger.rollup",
        "ledger.repricing",
        "reports.highest_cost",
        "reports.totals",
        "reports.sql.totals",
        "models",
        "models.daily_usage",
    }
    allowed |= {"tenancy.row_level_security", "tenancy.distribution", "apps"}
    readers = {
        module.removeprefix("usage_billing.")
        for module, tree in modules("usage_billing")
        if any(name.endswith(".DailyUsage") for name in imported(tree))
    }
    assert readers - allowed == set()
