"""`check --deploy` on draining and on file permissions."""

from pathlib import Path

import pytest
from pytest_django import Settings

from tests.support.configure import configure
from usage_billing.checks.files import (
    drain_runs_apart_from_web_workers,
    files_are_private,
)


@pytest.mark.parametrize(("drain", "found"), [("thread", ["usage_billing.W030"]), ("off", [])])
def test_a_drain_in_the_web_is_named(settings: Settings, drain: str, found: list[str]) -> None:
    configure(settings, DRAIN=drain)
    assert [message.id for message in drain_runs_apart_from_web_workers()] == found


@pytest.mark.parametrize(
    ("folder", "file", "found"),
    [
        (0o700, 0o600, []),
        # Nobody gets to it.
        (0o700, 0o644, []),
        (0o770, 0o660, []),
        (0o755, 0o600, ["outbox"]),
        (0o755, 0o644, ["outbox", "outbox.sqlite3"]),
        (0o711, 0o604, ["outbox", "outbox.sqlite3"]),
    ],
)
def test_files_for_everybody_are_named(
    settings: Settings, tmp_path: Path, folder: int, file: int, found: list[str]
) -> None:
    outbox = tmp_path / "outbox" / "outbox.sqlite3"
    outbox.parent.mkdir()
    outbox.touch()
    outbox.chmod(file)
    outbox.parent.chmod(folder)
    configure(settings, OUTBOX_PATH=str(outbox), ARCHIVE_DIR=str(tmp_path / "none"))
    said = files_are_private()
    assert [message.id for message in said] == ["usage_billing.W031"] * len(found)
    assert [message.msg.split(" (mode")[0].rpartition("/")[2] for message in said] == found


def test_the_archive_is_looked_at_too(settings: Settings, tmp_path: Path) -> None:
    configure(settings, OUTBOX_PATH=str(tmp_path / "a" / "outbox"), ARCHIVE_DIR=str(tmp_path / "archive"))
    assert files_are_private() == []
    (tmp_path / "archive").mkdir()
    (tmp_path / "archive").chmod(0o755)
    assert [message.id for message in files_are_private()] == ["usage_billing.W031"]
