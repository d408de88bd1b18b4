"""Draining and file permissions on a production machine; a part of `manage.py check --deploy`."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.core.checks import CheckMessage, Tags, Warning, register

from usage_billing.conf import conf


@register(Tags.security, deploy=True)
def drain_runs_apart_from_web_workers(**_kwargs: Any) -> list[CheckMessage]:
    if conf.DRAIN != "thread":
        return []
    return [
        Warning(
            "USAGE_DRAIN is “thread”: every web worker also writes the ledger, with the database login of the web.",
            hint="Set USAGE_DRAIN=off and run `manage.py drain_usage --follow` as a service, such as "
            "deploy/ai-costs-drain.service.",
            id="usage_billing.W030",
        )
    ]


@register(Tags.security, deploy=True)
def files_are_private(**_kwargs: Any) -> list[CheckMessage]:
    """Check the folders of the outbox and the archive and the files in them. Access for a group is accepted."""
    return [
        Warning(
            f"Every user of this machine may open {path} (mode {mode:04o}).",
            hint=f"Run `chmod o-rwx {path}`, and start the service with UMask=0077, as deploy/*.service do.",
            id="usage_billing.W031",
        )
        for path, mode in _open_to_all()
    ]


def _open_to_all() -> Iterator[tuple[Path, int]]:
    """Yield the folders that other users may enter, each with the first file there that they may read."""
    folders = [Path(conf.OUTBOX_PATH).parent, *([Path(conf.ARCHIVE_DIR)] if conf.ARCHIVE_DIR else [])]
    for folder in dict.fromkeys(folders):
        if not folder.is_dir():
            continue  # made on first use, for this user alone
        mode = _mode(folder)
        if not mode & 0o007:
            continue  # nobody else gets to its files
        yield folder, mode
        readable = ((path, _mode(path)) for path in sorted(folder.iterdir()) if path.is_file())
        yield from [each for each in readable if each[1] & 0o007][:1]


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)
