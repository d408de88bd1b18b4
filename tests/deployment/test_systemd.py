"""systemd accepts the units, and they run the right commands with minimal rights."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

import pytest
from django.core.management import get_commands

from tests.deployment.test_compose import SERVICES as SERVICES_OF_COMPOSE
from tests.deployment.test_compose import example
from tests.support.reliability.world import ROOT

UNITS = sorted(path for kind in ("service", "socket", "timer") for path in (ROOT / "deploy").glob(f"*.{kind}"))


def parsed(path: Path) -> ConfigParser:
    # With `strict=False` the last of two equal options counts, as for systemd.
    parser = ConfigParser(interpolation=None, strict=False)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read(path)
    return parser


def test_systemd_accepts_the_units(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("needs systemd-analyze")
    for unit in UNITS:
        # There is no /srv/ai-costs here, so its programs are replaced. All else stays.
        text = re.sub(
            r"/srv/ai-costs/(\.venv/bin/(python|gunicorn|uvicorn)|deploy/migrate\.sh)", "/bin/true", unit.read_text()
        )
        (tmp_path / unit.name).write_text(text)
    verified = subprocess.run(
        ["systemd-analyze", "verify", *[str(tmp_path / unit.name) for unit in UNITS]],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (verified.returncode, verified.stderr) == (0, "")


SERVICES = [unit for unit in UNITS if unit.suffix == ".service"]


@pytest.mark.parametrize("unit", SERVICES, ids=lambda unit: unit.name)
def test_services_have_minimal_rights(unit: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("needs systemd-analyze")
    # The threshold is in tenths of the score. Above it, the command fails.
    analysed = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=30", str(unit)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert analysed.returncode == 0, analysed.stdout + analysed.stderr


def test_all_services_have_the_same_restrictions_and_private_files() -> None:
    confined = {unit.read_text().partition("StateDirectoryMode=")[2].partition("\n\n")[0].strip() for unit in SERVICES}
    assert len(confined) == 1
    for unit in SERVICES:
        service = parsed(unit)["Service"]
        assert (service["UMask"], service["StateDirectoryMode"]) == ("0077", "0700")
        assert service.get("CacheDirectory") is None or service["CacheDirectoryMode"] == "0700"
    assert "--property=UMask=0077" in (ROOT / "deploy" / "manage.sh").read_text()


def test_the_settings_write_only_where_the_units_allow_it() -> None:
    """With `ProtectSystem=strict` a service may write only its state, and the migration its cache too."""
    given = example()
    for name in ("USAGE_OUTBOX_PATH", "USAGE_ARCHIVE_DIR"):
        assert given[name].startswith("/var/lib/ai-costs/")
    assert given["CACHE_URL"].startswith("filecache:///var/lib/ai-costs/")
    assert given["STATIC_ROOT"] == "/var/cache/ai-costs"
    assert all(parsed(unit)["Service"]["StateDirectory"] == "ai-costs" for unit in SERVICES)


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_each_unit_is_complete(unit: Path) -> None:
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
    # Each service gets only the password that it needs: the migration the owner's, the drain and the jobs the drain's.
    own = {
        "ai-costs-web.service": [],
        "ai-costs-proxy.service": [],
        "ai-costs-drain.service": ["/etc/ai-costs.drain.env"],
        "ai-costs-job@.service": ["/etc/ai-costs.drain.env"],
        "ai-costs-migrate.service": ["/etc/ai-costs.owner.env"],
    }
    assert environment == ["/etc/ai-costs.env", *own[unit.name]]


def test_compose_starts_the_proxy_as_the_unit_does() -> None:
    unit = parsed(ROOT / "deploy" / "ai-costs-proxy.service")["Service"]["ExecStart"]
    command = [part for part in unit.split() if part != "\\"]
    assert command[0] == "/srv/ai-costs/.venv/bin/uvicorn"
    of_compose = [part.replace("0.0.0.0", "127.0.0.1") for part in SERVICES_OF_COMPOSE["proxy"]["command"]]  # noqa: S104
    assert of_compose == ["uvicorn", *command[1:]]


def test_the_timers_and_cron_sh_run_the_same_jobs() -> None:
    jobs = re.findall(r"^ *job (\w+)$", (ROOT / "deploy" / "cron.sh").read_text(), re.MULTILINE)
    timers = [unit.stem.removeprefix("ai-costs-") for unit in UNITS if unit.suffix == ".timer"]
    assert sorted(jobs) == sorted(timers)
    assert set(jobs) <= set(get_commands())


CONFINED = """
import ctypes, mmap, sys
PR_SET_MDWE, REFUSE_EXEC_GAIN = 65, 1
if ctypes.CDLL(None).prctl(PR_SET_MDWE, REFUSE_EXEC_GAIN, 0, 0, 0) != 0:
    sys.exit("this kernel cannot")
import django; django.setup()
from importlib import import_module
for name in ("config.wsgi", "config.asgi", "uvicorn.protocols.http.httptools_impl"):
    import_module(name)
for name in ("psycopg", "openai", "anthropic", "genai_prices.data", "waitress", "gunicorn.arbiter"):
    import_module(name)
from django.test import Client
assert Client(headers={"host": "localhost"}).get("/login/", secure=True).status_code == 200
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
figure = Figure()
FigureCanvasAgg(figure)
figure.subplots().plot([1, 2])
figure.savefig("/dev/null", format="png")
print("works")
"""


def test_the_service_needs_no_memory_that_is_writable_and_executable() -> None:
    """The kernel enforces MemoryDenyWriteExecute itself (Linux 6.3 or newer)."""
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "config.settings", "DEBUG": "0", "SECRET_KEY": "s" * 50,
        "DATABASE_URL": "sqlite://:memory:",
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", CONFINED], cwd=ROOT, env=environment,
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    if "this kernel cannot" in done.stderr:
        pytest.skip("needs Linux 6.3 or newer")
    assert done.stdout == "works\n", done.stderr
