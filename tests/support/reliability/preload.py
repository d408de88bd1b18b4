"""Modules that the fork server loads once for all processes of these tests."""

import importlib
import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup()

for module in (
    "openai.resources.chat",
    "anthropic.resources.messages",
    "genai_prices.data",
    "tests.support.reliability.world",
):
    importlib.import_module(module)
importlib.import_module("usage_billing.ledger.writer")
