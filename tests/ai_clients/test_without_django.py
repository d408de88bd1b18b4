"""A script without Django settings records into the outbox that a service on the same machine drains."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ai_clients.simulator import Simulator
from tests.support import factories
from tests.support.recorded import Recorded
from usage_billing.ledger import drain
from usage_billing.models import UsageRecord
from usage_billing.recording import recorder

SOURCES = Path(__file__).parents[2]

SCRIPT = """
import sys
from ai_clients import OpenAI
from usage_billing import usage_context

with OpenAI() as client, usage_context(org={org}, request_type="script"):
    client.chat.completions.create(model="gpt-4.1-mini", messages=[{{"role": "user", "content": "Hello"}}])
loaded = [name for name in ("django.db", "usage_billing.models", "ai_clients.simulator") if name in sys.modules]
print(f"made, {{loaded}}")
"""


def run_script(script: str, directory: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return subprocess.run(
        [sys.executable, "-c", script],
        cwd=directory,
        env={**kept, "PYTHONPATH": str(SOURCES), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.django_db
def test_script_records_into_the_outbox_of_the_environment(
    simulator: Simulator, recorded: Recorded, tmp_path: Path
) -> None:
    org = factories.organization()
    script = run_script(
        SCRIPT.format(org=org.pk),
        tmp_path,
        AI_COSTS_OUTBOX_PATH=str(recorded.path),
        OPENAI_API_KEY="sk-simulated-secret",
        OPENAI_BASE_URL=simulator.openai_base_url,
    )
    assert (script.returncode, script.stdout) == (0, "made, []\n"), script.stderr
    assert len(recorded.all()) == 1
    assert drain.drain_all(recorder.outbox()) == 1
    record = UsageRecord.objects.get()
    assert (record.org_id, record.request_type, record.status) == (org.pk, "script", "succeeded")
    assert record.cost_usd is not None
    assert record.cost_usd > 0


@pytest.mark.parametrize("client", ["OpenAI", "AsyncOpenAI", "Anthropic", "AsyncAnthropic"])
def test_constructor_says_that_the_outbox_is_missing(client: str, tmp_path: Path) -> None:
    script = run_script(f"from ai_clients import {client}\n{client}(api_key='k')", tmp_path)
    assert script.returncode == 1
    assert "django.core.exceptions.ImproperlyConfigured: AI calls cannot be recorded" in script.stderr
    assert "AI_COSTS_OUTBOX_PATH" in script.stderr
