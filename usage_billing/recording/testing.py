"""For the tests of a project that records AI calls: they must not write into its real outbox.

pytest: `pytest_plugins = ["usage_billing.recording.testing"]` in `conftest.py` gives the fixture `usage_outbox`. To use
it in every test, set `usefixtures = usage_outbox` in pytest's configuration.

Django's own test runner: wrap a test, or the whole run, in `isolated_outbox()`. Or set `USAGE_OUTBOX_PATH` to a path in
a temporary directory in the settings of the tests.

No drain thread starts in a test run. `usage_billing.ledger.drain.drain_all(outbox)` drains.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.test.utils import override_settings

from usage_billing.conf import given
from usage_billing.recording import recorder
from usage_billing.recording.outbox import Outbox

try:
    import pytest
except ImportError:  # Django's own test runner
    pytest = None  # type: ignore[assignment]


@contextmanager
def isolated_outbox() -> Iterator[Outbox]:
    """Record the calls made inside into a new outbox, which is removed at the end. Yields it."""
    with tempfile.TemporaryDirectory(prefix="usage-outbox-") as folder:
        path = Path(folder) / "outbox"
        with override_settings(AI_COSTS={**given(), "OUTBOX_PATH": str(path)}):
            yield recorder.outbox()


if pytest is not None:

    @pytest.fixture
    def usage_outbox() -> Iterator[Outbox]:
        """A new outbox that the test's calls are recorded into."""
        with isolated_outbox() as outbox:
            yield outbox
