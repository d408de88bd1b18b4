"""Who drains, and who else may read the files, on a production machine; a part of `manage.py check --deploy`."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.core.checks import CheckMessage, Tags, Warning, register

from usage_billing.conf import conf


@register(Tags.security, deploy=True)
def web_leaves_draining_to_the_drain(**_kwargs: Any) -> list[CheckMessage]:
    if conf.DRAIN != "thread":
        return []
    return [
        Warning(
            "USAGE_DRAIN is “thread”: every web worker writes the ledger, by the web's login, beside its requests.",
            hint="USAGE_DRAIN=off, and `manage.py drain_usage --follow` as a service: deploy/ai-costs-drain.service.",
            id="usage_billing.W030",
        )
    ]


@register(Tags.security, deploy=True)
def files_are_for_the_service_alone(**_kwargs: Any) -> list[CheckMessage]:
    """Looks at the folders of the outbox and of the archive, and at the files in them. A group is given on purpose."""
    return [
        Warning(
            f"Every user of this machine may open {path} (mode {mode:04o}).",
            hint=f"chmod o-rwx {path}; and start the service with UMask=0077, as deploy/*.service do.",
            id="usage_billing.W031",
        )
        for path, mode in _open_to_all()
    ]


def _open_to_all() -> Iterator[tuple[Path, int]]:
    """Folders that other users may enter, and files in them that they may read: one of each suffices to say so."""
    for folder in {Path(conf.OUTBOX_PATH).parent: None, Path(conf.ARCHIVE_DIR): None}:
        if not folder.is_dir():
            continue  # made when it is needed, for this user alone
        mode = _mode(folder)
        if not mode & 0o007:
            continue  # whatever is in it, nobody gets there
        yield folder, mode
        readable = ((path, _mode(path)) for path in sorted(folder.iterdir()) if path.is_file())
        yield from [each for each in readable if each[1] & 0o007][:1]


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)
