"""The units are what systemd takes, and start what the README says."""

from __future__ import annotations

import re
import shutil
import subprocess
from configparser import ConfigParser
from pathlib import Path

import pytest
from django.core.management import get_commands

from tests.reliability.world import ROOT

UNITS = sorted(path for kind in ("service", "socket", "timer") for path in (ROOT / "deploy").glob(f"*.{kind}"))


def parsed(path: Path) -> ConfigParser:
    # Of an option that is there twice, the last one.
    parser = ConfigParser(interpolation=None, strict=False)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read(path)
    return parser


def test_systemd_takes_the_units(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("needs systemd-analyze")
    for unit in UNITS:
        # The environment is not at /srv here; that its programs are is all that is changed.
        text = re.sub(r"/srv/ai-costs/(\.venv/bin/(python|gunicorn)|deploy/migrate\.sh)", "/bin/true", unit.read_text())
        (tmp_path / unit.name).write_text(text)
    verified = subprocess.run(
        ["systemd-analyze", "verify", *[str(tmp_path / unit.name) for unit in UNITS]],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (verified.returncode, verified.stderr) == (0, "")


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_each_unit_is_whole(unit: Path) -> None:
    sections = parsed(unit)
    assert sections["Unit"]["Description"]
    if unit.suffix == ".timer":
        command = sections["Timer"]["Unit"].removeprefix("ai-costs-job@").removesuffix(".service")
        assert f"ai-costs-{command}.timer" == unit.name
        return
    if unit.suffix == ".socket":
        assert sections["Socket"]["ListenStream"] == "127.0.0.1:8000"
        return
    service = sections["Service"]
    assert service["ExecStart"].startswith("/srv/ai-costs/.venv/bin/")
    assert service["StateDirectory"] == "ai-costs"
    assert service["ProtectSystem"] == "strict"
    environment = re.findall(r"^EnvironmentFile=(.+)$", unit.read_text(), re.MULTILINE)
    # Each login's password is only where it is needed: the owner's where tables are made, the web's for the web.
    own = {
        "ai-costs-web.service": [],
        "ai-costs-drain.service": ["/etc/ai-costs.drain.env"],
        "ai-costs-job@.service": ["/etc/ai-costs.drain.env"],
        "ai-costs-migrate.service": ["/etc/ai-costs.owner.env"],
    }
    assert environment == ["/etc/ai-costs.env", *own[unit.name]]


def test_the_timers_and_cron_sh_do_the_same_jobs() -> None:
    jobs = re.findall(r"^ *job (\w+)$", (ROOT / "deploy" / "cron.sh").read_text(), re.MULTILINE)
    timers = [unit.stem.removeprefix("ai-costs-") for unit in UNITS if unit.suffix == ".timer"]
    assert sorted(jobs) == sorted(timers)
    assert set(jobs) <= set(get_commands())


def test_the_drain_has_more_time_to_stop_than_it_takes() -> None:
    from django.conf import settings

    assert int(parsed(ROOT / "deploy" / "ai-costs-drain.service")["Service"]["TimeoutStopSec"]) > (
        settings.USAGE_DRAIN_STOP_S
    )
