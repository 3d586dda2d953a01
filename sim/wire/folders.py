"""Folders with a socket, for as long as their process lives: mode 0700, short names, none left.

A process that is killed cannot remove its own. Whoever survives it does, or the next process that
makes one: a socket that refuses a connection has nobody behind it.
"""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from pathlib import Path
from typing import Final

_STALE_SECONDS: Final = 60.0
"""Younger folders are left alone: between `bind` and `listen` a socket refuses, too."""


def make_folder(kind: str, name: str) -> str:
    """A new folder for the socket `name`, and the end of those that nobody owns any more.

    kind: what the folder's name begins with; the number of this process follows.
    """
    folder = Path(tempfile.mkdtemp(prefix=f"{kind}{os.getpid()}-"))
    sweep(folder.parent, kind, name, folder.stat().st_mtime)
    return str(folder)


def remove_folders(kind: str, pid: int) -> None:
    """Removes what a process made and did not outlive."""
    for path in Path(tempfile.gettempdir()).glob(f"{kind}{pid}-*"):
        shutil.rmtree(path, ignore_errors=True)


def sweep(root: Path, kind: str, name: str, now: float) -> None:
    """Removes folders of this user that nobody owns. now: seconds, as files are dated."""
    for path in root.glob(f"{kind}[0-9]*-*"):
        try:
            about = path.stat()
            is_mine = about.st_uid == os.getuid()
            if is_mine and now - about.st_mtime > _STALE_SECONDS and _is_dead(path / name):
                shutil.rmtree(path, ignore_errors=True)
        except OSError:
            continue


def _is_dead(path: Path) -> bool:
    """Whether nobody listens at a socket, or none was ever made."""
    if not path.exists():
        return True
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            return True
        except OSError:
            return False
    return False
