"""The documents name what is there: settings, commands, files, and each other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.core.management import get_commands

from usage_billing.conf import DEFAULTS

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]


def text(name: str) -> str:
    return (ROOT / "docs" / name).read_text()


def first_column(table_rows: str, column: int) -> set[str]:
    """The names in code format of a column of all tables in the text."""
    rows = [line.split("|")[column + 1] for line in table_rows.splitlines() if line.startswith("| `")]
    return {name for row in rows for name in re.findall(r"`([A-Z][A-Z_]+)`", row)}


def anchors(document: Path) -> set[str]:
    """The anchors that GitHub gives the document's headings."""
    headings = re.findall(r"^#+ (.*)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_each_link_leads_to_a_file_and_a_heading(document: Path) -> None:
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", document.read_text()):
        path, _, anchor = target.partition("#")
        if "://" in target:
            continue
        file = (document.parent / path).resolve() if path else document
        if not file.exists() or (anchor and anchor not in anchors(file)):
            broken.append(target)
    assert broken == []


def test_readme_is_short_and_names_each_document() -> None:
    readme = (ROOT / "README.md").read_text()
    assert len(readme.splitlines()) <= 150
    assert [path.name for path in DOCUMENTS if path.name != "README.md" and path.name not in readme] == []


def test_settings_has_each_key_of_the_dict_and_no_other() -> None:
    table = text("settings.md").partition("## The providers")[0]
    assert first_column(table, 0) == set(DEFAULTS)


def test_settings_has_each_variable_that_the_service_reads_and_no_other() -> None:
    read = set(re.findall(r'(?:env\.\w+|rate)\(\s*"([A-Z_]+)"', (ROOT / "config" / "settings.py").read_text()))
    ours, _, rest = text("settings.md").partition("## The providers")
    service = rest.partition("## The service")[2]
    documented = first_column(ours, 1) | first_column(service, 0)
    # A row whose second column says “the same”: the variable has the key's name.
    documented |= {name for line in ours.splitlines() if "| the same |" in line for name in first_column(line, 0)}
    assert documented == read


def test_operations_has_each_command_and_no_other() -> None:
    apps = ("usage_billing", "ai_clients.assistants")
    table = text("operations.md").partition("## Commands")[2].partition("## Cron")[0]
    assert set(re.findall(r"^\| `(\w+)", table, re.MULTILINE)) == {
        name for name, app in get_commands().items() if app in apps
    }


def test_guarantees_name_tests_that_exist() -> None:
    guarantees = text("guarantees.md")
    named = re.findall(r"`([\w/]+(?:\.py|/))`", guarantees)
    assert len(re.findall(r"^\d+\. \*\*", guarantees, re.MULTILINE)) == 11
    assert [path for path in named if not any((root / path).exists() for root in (ROOT, ROOT / "tests"))] == []


def test_architecture_names_packages_that_exist() -> None:
    tree = text("architecture.md").partition("## Modules\n\n```\n")[2].partition("```")[0]
    parent, packages = ROOT, []
    for line in tree.splitlines():
        names = re.findall(r"(\w+)/(?=\s)", line)
        if not line.startswith(" "):
            parent = ROOT / names[0]
            packages.append(parent)
        else:
            packages += [parent / name for name in names]
    assert len(packages) > 20
    assert [str(path) for path in packages if not path.is_dir()] == []
