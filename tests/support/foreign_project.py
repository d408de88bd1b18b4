"""Builds a foreign Django project that has the wheel installed and cannot import the checkout."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ("pyproject.toml", "README.md", "LICENSE", "usage_billing", "ai_clients")
"""The files that the wheel is built from."""

MANAGE = """
    import os
    import sys

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)
"""


def build_wheel(folder: Path) -> Path:
    """Build the wheel from a copy of the source, so that no files are left in the checkout. Downloads nothing."""
    copy = folder / "source"
    copy.mkdir()
    for name in SOURCE:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif source.exists():
            shutil.copy(source, copy / name)
    _run(sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", f"--wheel-dir={folder}", copy)
    (wheel,) = folder.glob("*.whl")
    return wheel


def environment_with(wheel: Path, folder: Path) -> Path:
    """Create an environment with the wheel and the third-party packages of this one. Returns its interpreter."""
    _run(sys.executable, "-m", "venv", "--without-pip", folder)
    python = folder / "bin" / "python"
    _run(sys.executable, "-m", "pip", f"--python={python}", "install", "--no-deps", "--no-index", wheel)
    (site_packages,) = folder.glob("lib/python*/site-packages")
    packages = dict.fromkeys(sysconfig.get_path(name) for name in ("purelib", "platlib"))
    (site_packages / "third_party.pth").write_text("\n".join(packages))
    return python


def can_download(python: Path, requirement: str, folder: Path) -> bool:
    """Whether pip finds the requirement for this interpreter. Without a network, for instance, it does not."""
    command: list[str | Path] = [
        python,
        "-m",
        "pip",
        "download",
        "--no-deps",
        f"--dest={folder}",
        "--retries=1",
        requirement,
    ]
    return subprocess.run(command, cwd="/", capture_output=True, check=False).returncode == 0


def downloaded_environment(wheel: Path, folder: Path, python: Path, *requirements: str) -> Path:
    """Create an environment with another interpreter; pip downloads the dependencies. Returns its interpreter."""
    _run(python, "-m", "venv", folder)
    made = folder / "bin" / "python"
    _run(made, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", wheel, *requirements)
    return made


def newer_python() -> Path | None:
    """Find a Python 3.12 or newer, as Django 6.0 requires: the current one, on the PATH, or pyenv's."""
    if sys.version_info >= (3, 12):
        return Path(sys.executable)
    found = [Path(path) for minor in range(19, 11, -1) if (path := shutil.which(f"python3.{minor}"))]
    found += sorted(Path.home().glob(".pyenv/versions/3.1[2-9].*/bin/python"), reverse=True)
    # A name on the PATH may lead to no interpreter (pyenv) or to one without ensurepip (Debian without python3-venv).
    works = "import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 12))"
    return next(
        (path for path in found if subprocess.run([path, "-c", works], capture_output=True).returncode == 0), None
    )


def _run(*command: str | Path) -> None:
    done = subprocess.run(command, cwd="/", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert done.returncode == 0, done.stdout


@dataclass(frozen=True)
class ForeignProject:
    """A project in `folder`. `python` runs it with the variables in `environment` and none of the tests' own."""

    folder: Path
    python: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    def write(self, files: Mapping[str, str]) -> None:
        """Write `manage.py` and the project's files: relative path → text, which is dedented."""
        for name, text in {"manage.py": MANAGE, **files}.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(text))

    def run(self, *arguments: str, fails: bool = False) -> str:
        """Run the interpreter in the project's folder. Returns standard output and error."""
        done = self._run(*arguments)
        assert (done.returncode != 0) == fails, done.stdout + done.stderr
        return done.stdout + done.stderr

    def manage(self, *arguments: str, fails: bool = False) -> str:
        """Run `manage.py` and return its output."""
        return self.run("manage.py", *arguments, fails=fails)

    def shell(self, program: str) -> str:
        """Dedent a program, run it in `manage.py shell`, and return its output."""
        return self.manage("shell", "--no-imports", "--command", textwrap.dedent(program))

    def json(self, program: str) -> Any:
        """Run a program in `manage.py shell`, and return the JSON value of its last line of output."""
        done = self._run("manage.py", "shell", "--no-imports", "--command", textwrap.dedent(program))
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.python, *arguments],
            cwd=self.folder,
            env={"PATH": os.environ["PATH"], "HOME": str(self.folder), **self.environment},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
