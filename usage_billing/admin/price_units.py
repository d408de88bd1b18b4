"""Names of the units that a price override may price, as the form shows them: the most common first.

The units are genai-prices' own. A unit that a newer version adds is shown by its key until it has a name here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from genai_prices.units import UnitDef, _get_registry

Words = str | Promise

SECTIONS: tuple[tuple[Words, tuple[str, ...]], ...] = (
    (
        _("Tokens"),
        (
            "input_mtok",
            "cache_read_mtok",
            "output_mtok",
            "cache_write_mtok",
            "cache_write_5m_mtok",
            "cache_write_1h_mtok",
        ),
    ),
    (
        _("Tools and requests"),
        (
            "web_searches_kcount",
            "storage_searches_kcount",
            "code_executions_kcount",
            "requests_kcount",
            "rerank_searches_kcount",
            "social_searches_kcount",
        ),
    ),
    (
        _("Audio and images"),
        (
            "input_audio_mtok",
            "cache_audio_read_mtok",
            "output_audio_mtok",
            "input_image_mtok",
            "cache_image_read_mtok",
            "output_image_mtok",
            "audio_hours",
            "input_audio_hours",
            "output_audio_hours",
        ),
    ),
)
"""Heading and price keys of each section that is always open."""

TOKENS: Mapping[tuple[str | None, str | None, str | None], Words] = {
    ("input", None, None): _("Input"),
    ("input", "cache_read", None): _("Cached input"),
    ("input", "cache_write", None): _("Cache write"),
    ("input", "cache_write", "5m"): _("Cache write, 5 minutes"),
    ("input", "cache_write", "1h"): _("Cache write, 1 hour"),
    ("input", "tool", None): _("Input of tools"),
    ("output", None, None): _("Output"),
    ("output", "reasoning", None): _("Reasoning"),
    ("output", "citation", None): _("Citations"),
}
"""Direction, kind and lifetime of tokens → their name."""

MODALITIES: Mapping[str, Words] = {"text": _("text"), "audio": _("audio"), "image": _("images"), "video": _("video")}

OTHERS: Mapping[str, Words] = {
    "audio_hours": _("Audio, input and output"),
    "input_audio_hours": _("Audio input"),
    "output_audio_hours": _("Audio output"),
    "code_executions_kcount": _("Code executions"),
    "input_annotated_document_kpages": _("Document pages with annotations"),
    "input_document_kpages": _("Document pages"),
    "input_gpixels": _("Pixels of images"),
    "input_mchars": _("Characters"),
    "input_text_messages_kcount": _("Text messages"),
    "requests_kcount": _("Requests to the model"),
    "rerank_searches_kcount": _("Reranking searches"),
    "social_searches_kcount": _("Searches in social networks"),
    "storage_searches_kcount": _("File searches"),
    "web_searches_kcount": _("Web searches"),
}

PER: Mapping[tuple[str, int], Words] = {
    ("tokens", 1_000_000): _("USD per million tokens"),
    ("characters", 1_000_000): _("USD per million characters"),
    ("pixels", 1_000_000_000): _("USD per billion pixels"),
    ("durations", 3600): _("USD per hour"),
    ("document_pages", 1000): _("USD per thousand pages"),
    ("messages", 1000): _("USD per thousand messages"),
    ("requests", 1000): _("USD per thousand requests"),
    ("rerank", 1000): _("USD per thousand searches"),
    ("tool_calls", 1000): _("USD per thousand calls"),
}
"""Family of the unit, and how many of them a price is for → how to say it."""


def all_keys() -> list[str]:
    """Return every price key that an override accepts, those of `SECTIONS` first."""
    known = _get_registry()._all_price_keys
    usual = [key for _heading, in_section in SECTIONS for key in in_section if key in known]
    return [*usual, *sorted(known - {*usual})]


def unusual_keys() -> list[str]:
    """Return the keys that are in no section."""
    usual = {key for _heading, in_section in SECTIONS for key in in_section}
    return [key for key in all_keys() if key not in usual]


def is_known(key: str) -> bool:
    """Return whether the price list has the unit."""
    return key in _get_registry()._all_price_keys


def label(key: str) -> Words:
    """Return the unit's name; the key itself if it has none here."""
    if key in OTHERS:
        return OTHERS[key]
    kind = _dimensions(key)
    if kind.get("family") == "tokens":
        name = TOKENS.get((kind.get("direction"), kind.get("token_type"), kind.get("cache_ttl")))
        modality = kind.get("modality")
        if name is not None and (modality is None or modality in MODALITIES):
            return name if modality is None else f"{name}: {MODALITIES[modality]}"
    return key


def per(key: str) -> Words:
    """Return what a price is for: “USD per million tokens”."""
    unit = _unit(key)
    family = str(_dimensions(key).get("family"))
    if unit is None:
        return "USD"
    return PER.get((family, unit.per)) or gettext("USD per %(number)s units") % {"number": unit.per}


def label_of_usage(usage_key: str) -> str:
    """Return the name of the unit that a usage record has under this key (`output_tokens`)."""
    unit = _get_registry().units.get(usage_key)
    return str(label(unit.price_key)) if unit is not None else usage_key


def _unit(key: str) -> UnitDef | None:
    registry = _get_registry()
    return registry.unit_for_price_key(key) if key in registry._all_price_keys else None


def _dimensions(key: str) -> Mapping[str, Any]:
    unit = _unit(key)
    return {} if unit is None else unit.dimensions
