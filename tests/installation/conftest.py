"""The wheel as `pip` builds it, an environment that it is installed in, and projects of somebody else.

def test_something(project: ForeignProject, provider: str) -> None:
    project.write({"settings.py": "…"})
    project.manage("migrate")
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import foreign_project
from tests.support.foreign_project import ForeignProject
from tests.support.reliability import world

DJANGO_6 = "Django>=6.0,<6.1"


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return foreign_project.build_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="session")
def foreign_python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter that has the wheel and the third-party packages of these tests, but not the checkout."""
    return foreign_project.environment_with(wheel, tmp_path_factory.mktemp("environment") / "venv")


@pytest.fixture(scope="session")
def django_6_python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter that has the wheel, what it requires, and Django 6.0, all of them downloaded by pip."""
    python = foreign_project.newer_python()
    if python is None:
        pytest.skip("needs Python 3.12 or newer, which Django 6.0 needs")
    folder = tmp_path_factory.mktemp("django-6")
    if not foreign_project.can_download(python, DJANGO_6, folder):
        pytest.skip(f"needs a package index that has {DJANGO_6}")
    return foreign_project.downloaded_environment(wheel, folder / "venv", python, DJANGO_6)


@pytest.fixture(scope="session")
def provider() -> Iterator[str]:
    """The origin of a simulated provider, which runs from the checkout: the wheel has no simulator."""
    with world.simulator() as origin:
        yield origin


@pytest.fixture
def project(foreign_python: Path, provider: str, tmp_path: Path) -> ForeignProject:
    """An empty project whose calls without options go to the provider."""
    return empty_project(tmp_path, foreign_python, provider)


@pytest.fixture
def django_6_project(django_6_python: Path, provider: str, tmp_path: Path) -> ForeignProject:
    """The same on Django 6.0."""
    return empty_project(tmp_path, django_6_python, provider)


def empty_project(tmp_path: Path, python: Path, provider: str) -> ForeignProject:
    folder = tmp_path / "project"
    folder.mkdir()
    environment = {
        "OPENAI_BASE_URL": f"{provider}/openai/v1",
        "OPENAI_API_KEY": "simulated",
        "ANTHROPIC_BASE_URL": f"{provider}/anthropic",
        "ANTHROPIC_API_KEY": "simulated",
    }
    return ForeignProject(folder, python, environment)
