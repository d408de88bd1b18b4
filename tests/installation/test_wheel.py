"""The wheel contains the right files."""

from __future__ import annotations

from pathlib import Path
from zipfile import ZipFile

from tests.support.foreign_project import ForeignProject


def test_the_wheel_has_the_apps_with_their_files_and_nothing_else(wheel: Path) -> None:
    names = ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"usage_billing", "ai_clients"}
    for part in ("locale/ru/LC_MESSAGES/django.mo", "migrations/0001_initial.py"):
        assert f"usage_billing/{part}" in names
    for folder in ("templates", "static"):
        assert any(name.startswith(f"usage_billing/{folder}/") for name in names)


def test_the_foreign_interpreter_imports_the_wheel_and_not_the_checkout(project: ForeignProject) -> None:
    found = project.run("-c", "import ai_clients, usage_billing; print(ai_clients.__file__, usage_billing.__file__)")
    environment = str(project.python.parents[1])
    assert all(path.startswith(environment) for path in found.split())
    assert len(found.split()) == 2
