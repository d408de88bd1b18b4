"""A text with a blocker does not pass."""

from __future__ import annotations

from typing import Any

import pytest

from tests.ai_clients.assistants.agents.conftest import Work


def review(verdict: str, *severities: str) -> dict[str, Any]:
    found = {"area": "ad_marking", "law": "38-ФЗ, ст. 18.1", "quote": "", "problem": "Нет erid", "fix": "Добавить"}
    findings = [{**found, "severity": severity} for severity in severities]
    return {"is_advertising": True, "verdict": verdict, "findings": findings, "summary": "…"}


@pytest.mark.parametrize(
    ("given", "severities", "verdict"),
    [
        ("publish", ["blocker"], "fix_first"),
        ("publish", ["advice", "blocker"], "fix_first"),
        ("ask_a_lawyer", ["blocker"], "ask_a_lawyer"),
        ("publish", ["advice"], "publish"),
        ("publish", [], "publish"),
    ],
)
def test_verdict_and_findings_agree(work: Work, given: str, severities: list[str], verdict: str) -> None:
    made = work("legal_guard", {"text": "Скидка!"}, review(given, *severities))
    assert made.verdict == verdict
    assert [finding.severity for finding in made.findings] == severities
