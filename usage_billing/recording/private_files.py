"""Files and folders for their owner alone, whatever the umask: they tell who called which model, when and for whom.

A folder that exists stays as it is. A folder with the set-group-ID bit (2770, say) is shared with its group on purpose:
a file in it gives the group the rights that the folder gives it, to read and to write. Any other file is 0600.

A symbolic link in a file's place is not followed. Otherwise a user who may write in a shared folder could make us
truncate any file of ours, or open it to the group.
"""

from __future__ import annotations

import logging
import os
import stat
from pathlib import Path

logger = logging.getLogger(__name__)

OF_GROUP = stat.S_IRGRP | stat.S_IWGRP


def make_folder(folder: Path) -> None:
    """Make the folder and its missing parents, each 0700. Raises `OSError`."""
    if folder.is_dir():
        return
    for missing in reversed([each for each in (folder, *folder.parents) if not each.exists()]):
        missing.mkdir(mode=0o700, exist_ok=True)
    folder.mkdir(exist_ok=True)  # raises if something else is in its place


def open_private(path: str, flags: int) -> int:
    """Open a file, and set its mode if it is ours; also as `open(…, opener=open_private)`. Raises `OSError`.

    Never for a file that SQLite has open: closing it takes SQLite's locks away.
    """
    file = os.open(path, flags | os.O_NOFOLLOW, 0o600)
    try:
        _set_mode(file, mode_in(Path(path).parent))
    except BaseException:
        os.close(file)
        raise
    return file


def make_private(path: Path) -> None:
    """Set the mode of a file that is ours. A missing file, and another user's, is left alone."""
    try:
        _set_mode(path, mode_in(path.parent))
    except FileNotFoundError as gone:
        logger.debug("No mode to set: %s", gone)


def create_private(path: Path) -> None:
    """Make an empty file if there is none. Raises `OSError`."""
    try:
        os.close(open_private(str(path), os.O_WRONLY | os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        make_private(path)


def mode_in(folder: Path) -> int:
    """Return the mode of files in this folder. Raises `OSError`."""
    of_folder = os.stat(folder).st_mode
    return 0o600 | (of_folder & OF_GROUP if of_folder & stat.S_ISGID else 0)


def _set_mode(file: int | Path, mode: int) -> None:
    status = os.fstat(file) if isinstance(file, int) else os.lstat(file)
    if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid() or stat.S_IMODE(status.st_mode) == mode:
        return
    try:
        os.chmod(file, mode)
    except OSError as error:
        # A file system without modes (FAT, some network shares), or one that is read-only. `check --deploy` names it.
        logger.debug("The mode of %s could not be set: %s", file, error)
