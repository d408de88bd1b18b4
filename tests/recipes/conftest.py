"""Environments with other libraries, which pip makes from the package index.

That takes minutes: `make recipes` runs these tests.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support import foreign_project
from tests.support.recorded import Recorded
from tests.support.reliability import world
from usage_billing.recording.event import Event

WITH_RECIPES = bool(os.environ.get("RECIPES"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents and not WITH_RECIPES:
            item.add_marker(pytest.mark.skip(reason="needs minutes and a package index: `make recipes`"))


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return foreign_project.build_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="session")
def provider() -> Iterator[str]:
    """The origin of a simulated provider, which runs from the checkout."""
    with world.simulator() as origin:
        yield origin


@dataclass(frozen=True)
class Ran:
    """The output of a program, and the events that it left."""

    printed: str
    events: list[Event]


Run = Callable[..., Ran]


@pytest.fixture(scope="session")
def interpreter(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Make an environment with the wheel and these requirements, and return its interpreter."""
    made: dict[tuple[str, ...], Path] = {}

    def make(*requirements: str) -> Path:
        if requirements not in made:
            folder = tmp_path_factory.mktemp("environment") / "venv"
            python = Path(sys.executable)
            if not foreign_project.can_download(python, requirements[0], folder.parent):
                pytest.skip(f"needs a package index that has {requirements[0]} for this Python")
            made[requirements] = foreign_project.downloaded_environment(wheel, folder, python, *requirements)
        return made[requirements]

    return make


@pytest.fixture
def run(interpreter: Callable[..., Path], provider: str, tmp_path: Path) -> Run:
    """Run a program with these requirements; its calls go to the simulated provider."""

    def run_program(program: str, *requirements: str, arguments: tuple[str, ...] = (), **environment: str) -> Ran:
        (tmp_path / "program.py").write_text(program)
        outbox = tmp_path / "outbox" / "outbox"
        done = subprocess.run(
            [interpreter(*requirements), "program.py", *arguments],
            cwd=tmp_path,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(tmp_path),
                "AI_COSTS_OUTBOX_PATH": str(outbox),
                "OPENAI_API_KEY": "simulated",
                "OPENAI_BASE_URL": f"{provider}/openai/v1",
                "OPENAI_API_BASE": f"{provider}/openai/v1",  # LlamaIndex reads this one
                "ANTHROPIC_API_KEY": "simulated",
                "ANTHROPIC_BASE_URL": f"{provider}/anthropic",
                "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # it would download a list of prices
                **environment,
            },
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return Ran(done.stdout, Recorded(outbox).all())

    return run_program
