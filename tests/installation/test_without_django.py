"""A script without Django records into an outbox; a Django project on the machine brings it into the ledger."""

from __future__ import annotations

from decimal import Decimal

from tests.installation.test_recording_only import RECORDS, SETTINGS
from tests.support.foreign_project import ForeignProject

SCRIPT = """
    import sys

    from ai_clients import OpenAI
    from usage_billing import usage_context

    with usage_context(agent_id="script", request_type="greeting"):
        OpenAI().chat.completions.create(
            model="gpt-4.1-mini", messages=[{"role": "user", "content": "Say hello."}]
        )
    assert "django.db.models" not in sys.modules
"""


def test_a_script_without_django_is_recorded_and_priced(project: ForeignProject) -> None:
    outbox = str(project.folder / "shared" / "outbox")
    project.write(
        {
            "settings.py": SETTINGS + f"\n    AI_COSTS = {{'OUTBOX_PATH': {outbox!r}}}\n",
            "script.py": SCRIPT,
        }
    )
    said = project.run("script.py", fails=True)
    assert "AI_COSTS_OUTBOX_PATH" in said
    script = ForeignProject(project.folder, project.python, {**project.environment, "AI_COSTS_OUTBOX_PATH": outbox})
    assert script.run("script.py") == ""
    project.manage("migrate")
    project.manage("drain_usage")
    (record,) = project.json(RECORDS)
    assert Decimal(record["cost_usd"]) > 0
    assert (record["agent_id"], record["status"]) == ("script", "succeeded")
