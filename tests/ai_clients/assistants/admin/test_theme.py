"""The assistants' admin works with Django's own admin, where the theme is not installed."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.admin.widgets import AdminTextareaWidget

import ai_clients.assistants
from ai_clients.assistants.admin import theme

SOURCES = Path(ai_clients.assistants.__file__).parent


def test_classes_are_djangos_without_the_theme(monkeypatch: pytest.MonkeyPatch) -> None:
    assert theme.ModelAdmin is not admin.ModelAdmin
    with monkeypatch.context() as patch:
        patch.setattr(apps, "is_installed", lambda name: False)
        importlib.reload(theme)
        assert (theme.ModelAdmin, theme.Textarea) == (admin.ModelAdmin, AdminTextareaWidget)
    importlib.reload(theme)
    assert theme.ModelAdmin is not admin.ModelAdmin


def test_nothing_but_the_theme_module_names_the_theme() -> None:
    files = [file for kind in ("*.py", "*.html") for file in SOURCES.rglob(kind)]
    assert len(files) > 50
    assert [file.name for file in files if "unfold" in file.read_text()] == ["theme.py"]
