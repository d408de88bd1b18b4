"""The Russian catalogue: whole, compiled, and of all strings that the source has."""

from __future__ import annotations

import ast
import gettext
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings

CATALOGUE = Path("usage_billing/locale/ru/LC_MESSAGES/django.po")
ROOT: Path = settings.BASE_DIR

Key = str | tuple[str, int]


def read(path: Path) -> tuple[dict[Key, str], list[str]]:
    """Return the translations by message, keyed as in `gettext`, and the lines of comment."""
    translations: dict[Key, str] = {}
    comments: list[str] = []
    for block in path.read_text(encoding="utf-8").split("\n\n"):
        comments += [line for line in block.splitlines() if line.startswith("#")]
        # A text that goes on over several lines: `msgid "" "one " "two"`.
        parts = re.findall(r'^(msg\w+(?:\[\d\])?)((?:\s+"(?:[^"\\]|\\.)*")+)', block, re.MULTILINE)
        texts = {
            name: "".join(ast.literal_eval(part) for part in re.findall(r'"(?:[^"\\]|\\.)*"', text))
            for name, text in parts
        }
        message = "\x04".join(texts[name] for name in ("msgctxt", "msgid") if name in texts)
        for name, text in texts.items():
            if name == "msgstr":
                translations[message] = text
            elif plural := re.fullmatch(r"msgstr\[(\d)\]", name):
                translations[message, int(plural[1])] = text
    return translations, comments


def test_every_string_is_translated_and_none_is_in_doubt() -> None:
    translations, comments = read(ROOT / CATALOGUE)
    assert len(translations) > 100
    assert [key for key, text in translations.items() if not text] == []
    assert [line for line in comments if "fuzzy" in line or line.startswith("#~")] == []


def test_every_plural_has_the_four_russian_forms() -> None:
    plurals = [key for key in read(ROOT / CATALOGUE)[0] if isinstance(key, tuple)]
    messages = {message for message, _ in plurals}
    assert "%(days)s day" in messages
    assert sorted(plurals) == sorted((message, form) for message in messages for form in range(4))


def test_placeholders_are_kept() -> None:
    translations, _ = read(ROOT / CATALOGUE)

    def placeholders(text: str) -> list[str]:
        return sorted(re.findall(r"%\(\w+\)s|\{\w*\}", text))

    changed = {
        key: text
        for key, text in translations.items()
        if key and placeholders(text) != placeholders(key if isinstance(key, str) else key[0])
    }
    assert changed == {}


def test_compiled_catalogue_is_that_of_the_source() -> None:
    with open((ROOT / CATALOGUE).with_suffix(".mo"), "rb") as file:
        compiled = gettext.GNUTranslations(file)._catalog  # type: ignore[attr-defined]  # what it has read
    assert {key: text for key, text in compiled.items() if key} == {
        key: text for key, text in read(ROOT / CATALOGUE)[0].items() if key
    }, "run: python manage.py compilemessages"


@pytest.mark.skipif(
    shutil.which("xgettext") is None, reason="xgettext is absent: not compared with the source's strings"
)
def test_catalogue_has_exactly_the_strings_of_the_source(tmp_path: Path) -> None:
    for folder in ("config", "templates", "usage_billing", "ai_clients"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "manage.py", tmp_path)
    subprocess.run(
        [sys.executable, "manage.py", "makemessages", "--locale=ru", "--no-location"],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    committed, found = read(ROOT / CATALOGUE)[0], read(tmp_path / CATALOGUE)[0]
    assert sorted(map(str, found)) == sorted(map(str, committed)), (
        "run: python manage.py makemessages -l ru --no-location"
    )


def test_catalogue_names_no_person_host_or_path() -> None:
    text = (ROOT / CATALOGUE).read_text(encoding="utf-8")
    examples = r"https://example\.com|@name|@имя|@BotFather"
    assert re.findall(r"^#: |@|://|/work|/home|/tmp", re.sub(examples, "", text), re.MULTILINE) == []
