"""Only the owner may read the files, and the group of a folder that was shared with it on purpose."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from usage_billing.ledger import drain
from usage_billing.recording import quarantine, state_files
from usage_billing.recording.outbox import Outbox
from usage_billing.recording.private_files import make_folder, make_private, open_private

SOMEBODY = 4711
"""The id of another user."""


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def modes(folder: Path) -> dict[str, int]:
    """Map the extension of each file to its mode."""
    return {path.name.rpartition(".")[2]: mode(path) for path in folder.iterdir()}


LIVE = """
import os, sys
from collections import Counter
from pathlib import Path
os.umask(int(sys.argv[2], 8))
from usage_billing.ledger import drain
from usage_billing.recording.outbox import Outbox
box = Outbox(sys.argv[1])
box.append(b"1")
box.note_losses({"disk full": 1})
with drain.exclusively(box.path):
    box.read(1)
    drain._note(box, drained=1, counted=Counter(), failing=False)
    box.reject(box.read(1)[0][0], "because")
box.path.write_bytes(b"This is no outbox. " * 1000)
box.append(b"2")
box.read(1)
for path in sorted(box.path.parent.iterdir()):
    print(oct(path.stat().st_mode & 0o7777), path.name.replace(str(os.getpid()), "PID"))
sys.stdout.flush()
os._exit(0)
"""


def live(folder: Path, umask: str) -> dict[str, str]:
    """Everything that a process with this umask leaves of an outbox, with its mode."""
    program = [sys.executable, "-c", LIVE, str(folder / "box"), umask]
    environment = os.environ | {"DJANGO_SETTINGS_MODULE": "config.settings"}
    done = subprocess.run(program, capture_output=True, text=True, timeout=60, check=True, env=environment)
    found = (line.split(" ", 1) for line in done.stdout.splitlines())
    return {name: mode_ for mode_, name in found}


@pytest.mark.parametrize("umask", ["000", "022", "077"])
def test_nobody_else_reads_an_outbox_under_any_umask(tmp_path: Path, umask: str) -> None:
    folder = tmp_path / "new" / "newer"
    files = live(folder, umask)
    kinds = ("box", ".losses", ".drain", ".drain-state", ".rejected", ".lock", ".journal")
    assert [kind for kind in kinds if not any(name.endswith(kind) for name in files)] == []
    assert any(".quarantined-" in name for name in files)
    assert set(files.values()) == {"0o600"}
    assert (mode(folder), mode(folder.parent)) == (0o700, 0o700)


@pytest.mark.parametrize("umask", ["000", "022", "077"])
@pytest.mark.parametrize(("of_folder", "of_files"), [(0o2770, "0o660"), (0o2750, "0o640"), (0o770, "0o600")])
def test_a_folder_that_is_shared_with_its_group_on_purpose_stays_so(
    tmp_path: Path, umask: str, of_folder: int, of_files: str
) -> None:
    folder = tmp_path / "shared"
    folder.mkdir()
    folder.chmod(of_folder)
    assert set(live(folder, umask).values()) == {of_files}
    assert mode(folder) == of_folder


@pytest.mark.skipif(os.geteuid() != 0, reason="gives a file away, which root alone may")
def test_files_of_somebody_else_are_left_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "box"
    path.touch(0o644)
    os.chown(path, SOMEBODY, SOMEBODY)
    make_private(path)
    os.close(open_private(str(path), os.O_RDWR | os.O_CREAT))
    assert mode(path) == 0o644


@pytest.mark.parametrize("end", ["1-ab.journal", "rejected", "drain", "lock", "losses"])
def test_a_link_in_a_shared_folder_leads_to_no_file_of_ours(tmp_path: Path, end: str) -> None:
    ours, folder = tmp_path / "ours", tmp_path / "shared"
    ours.write_bytes(b"secret")
    ours.chmod(0o600)
    folder.mkdir()
    folder.chmod(0o2770)
    (folder / f"box.{end}").symlink_to(ours)
    box = Outbox(folder / "box")
    with suppress(OSError):
        box.append(b"1")
    with suppress(OSError):
        for id_, _ in box.read(1):
            box.reject(id_, "because")
    with suppress(OSError):
        box.note_losses({"disk full": 1})
    for lock in (drain.exclusively, quarantine.one_at_a_time):
        with suppress(OSError), lock(box.path):
            pass
    assert (ours.read_bytes(), mode(ours)) == (b"secret", 0o600)


def test_a_file_that_is_gone_is_no_error(tmp_path: Path) -> None:
    make_private(tmp_path / "gone")
    assert not (tmp_path / "gone").exists()


def test_a_file_system_without_modes_costs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise PermissionError("Operation not permitted")

    path = tmp_path / "box"
    path.touch()
    path.chmod(0o644)
    monkeypatch.setattr(os, "chmod", refused)
    make_private(path)
    box = Outbox(path.with_name("another"))
    box.append(b"1")
    assert [body for _, body in box.read(1)] == [b"1"]


def test_folders_that_are_there_stay_as_they_are(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    make_folder(tmp_path / "a" / "b")
    make_folder(tmp_path / "a" / "b")
    assert [mode(folder) for folder in (tmp_path, tmp_path / "a", tmp_path / "a" / "b")] == [0o755, 0o700, 0o700]
    (tmp_path / "file").touch()
    with pytest.raises(FileExistsError):
        make_folder(tmp_path / "file")


def test_a_state_file_that_comes_first_is_for_its_owner_alone(tmp_path: Path) -> None:
    state_files.losses(tmp_path / "new" / "box").prepare()
    assert modes(tmp_path / "new") == {"losses": 0o600}
    assert mode(tmp_path / "new") == 0o700


def test_a_lock_that_comes_first_is_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "box"
    with drain.exclusively(path), quarantine.one_at_a_time(path):
        assert modes(tmp_path / "new") == {"drain": 0o600, "lock": 0o600}
    assert mode(tmp_path / "new") == 0o700
