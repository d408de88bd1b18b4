"""What the fork server loads once for all processes of these proofs."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

import django

django.setup()

import anthropic.resources.messages
import genai_prices.data
import openai.resources.chat

import tests.reliability.world  # noqa: F401
from usage_billing import ledger  # noqa: F401
