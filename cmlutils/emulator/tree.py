"""Writes a project's files to disk, with the same bytes, modes and times every time."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cmlutils.emulator.records import Generate, Tree

_EPOCH = 1_767_225_600  # 2026-01-01, so that times that a copy did not preserve stand out


def lay_out(tree: Tree, folder: Path) -> None:
    """Create ``folder`` with the content that ``tree`` describes; if it exists already, keep it as it is."""
    source = Path(tree.copy_from).expanduser() if tree.copy_from else None
    if folder.exists():
        return
    if source is not None:
        shutil.copytree(source, folder, symlinks=True)
    folder.mkdir(parents=True, exist_ok=True)
    for path, text in tree.files.items():
        _write(folder / path, text.encode())
    for generate in tree.generate:
        _generate(generate, folder)
    for path in tree.folders:
        (folder / path).mkdir(parents=True, exist_ok=True)
    for path, mode in tree.modes.items():
        (folder / path).chmod(int(mode, 8))
    for path, target in tree.symlinks.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).symlink_to(target)


def _generate(generate: Generate, folder: Path) -> None:
    for number in range(generate.count):
        name = f"{generate.tree}/{number // 100:03d}/part-{number:05d}{generate.suffix}"
        _write(folder / name, content(name, generate.size), age=number)


def content(name: str, size: int) -> bytes:
    """Return ``size`` bytes of printable text that depends on the name only."""
    return hashlib.shake_256(name.encode()).hexdigest((size + 1) // 2)[:size].encode()


def _write(path: Path, data: bytes, *, age: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    os.utime(path, (_EPOCH + age, _EPOCH + age))
