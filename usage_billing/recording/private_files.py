"""Files and folders for their owner alone, whatever the umask: they tell who called which model, when and for whom.

A folder that exists already stays as it is. One with the set-group-ID bit (2770, say) is shared with its group on
purpose: a file in it gives the group what the folder gives it, to read and to write. Any other file is 0600.

A symbolic link in a file's place is not followed: whoever may write in a shared folder would have us truncate, or open
to the group, any file of ours.
"""

from __future__ import annotations

import logging
import os
import stat
from pathlib import Path

logger = logging.getLogger(__name__)

OF_GROUP = stat.S_IRGRP | stat.S_IWGRP


def make_folder(folder: Path) -> None:
    """Make the folder and those above it that are not there, each 0700. Raises `OSError`."""
    if folder.is_dir():
        return
    for missing in reversed([each for each in (folder, *folder.parents) if not each.exists()]):
        missing.mkdir(mode=0o700, exist_ok=True)
    folder.mkdir(exist_ok=True)  # raises if something else is in its place


def open_private(path: str, flags: int) -> int:
    """Open a file, and give it the mode of its folder's files if it is ours; also as `open(…, opener=open_private)`.

    Raises `OSError`. Not for a file that SQLite has open: to close it would take SQLite's locks away.
    """
    file = os.open(path, flags | os.O_NOFOLLOW, 0o600)
    try:
        _set_mode(file, mode_in(Path(path).parent))
    except BaseException:
        os.close(file)
        raise
    return file


def make_private(path: Path) -> None:
    """Give a file that is ours the mode of its folder's files. One that is gone, or somebody else's, is left alone."""
    try:
        _set_mode(path, mode_in(path.parent))
    except FileNotFoundError as gone:
        logger.debug("Nothing to close to others: %s", gone)


def create_private(path: Path) -> None:
    """Make the file, empty, if there is none. Raises `OSError`."""
    try:
        os.close(open_private(str(path), os.O_WRONLY | os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        make_private(path)


def mode_in(folder: Path) -> int:
    """The mode of files in this folder. Raises `OSError`."""
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
