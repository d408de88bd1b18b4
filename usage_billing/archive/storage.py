"""Paths of archive files, and access to their reader, which needs pyarrow."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from types import ModuleType

from usage_billing.conf import conf
from usage_billing.ledger.archived import UnreadableError
from usage_billing.models import ArchiveFile


def path_of(file: ArchiveFile) -> Path:
    """Return the file's path on this machine."""
    return Path(conf.ARCHIVE_DIR, file.path)


def parquet() -> ModuleType:
    """Return the module that reads and writes files. Raises `UnreadableError` if pyarrow is not installed."""
    try:
        from usage_billing.archive import parquet
    except ImportError as missing:
        raise UnreadableError(
            f"The archive needs pyarrow, which is not installed ({missing}): pip install 'pyarrow>=26', "
            "the extra “archive” of pyproject.toml."
        ) from missing
    return parquet


def find(file: ArchiveFile, request_ids: Collection[str]) -> Iterator[tuple[int, str, str]]:
    """Yield organisation, request id and provider of the file's calls with one of these request ids."""
    found: Iterator[tuple[int, str, str]] = parquet().find(file, request_ids)
    return found
