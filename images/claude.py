"""The pinned claude binary: reads claude.lock, downloads the package with npm, checks it, keeps the one file.

Knows nothing of images. Only the platform package is fetched: no wrapper, no Node.js at run time, no install script. Fails with
Refused when the package is not the one that was pinned, and leaves nothing half done.
"""

import base64
import hashlib
import os
import shlex
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

NPM_TIMEOUT = 900


class Refused(Exception):
    """What came is not what was pinned."""


@dataclass(frozen=True)
class Lock:
    package: str
    version: str
    integrity: str

    @staticmethod
    def read(path: Path) -> "Lock":
        pairs = dict(line.split("=", 1) for line in shlex.split(path.read_text(), comments=True))
        return Lock(pairs["PACKAGE"], pairs["VERSION"], pairs["INTEGRITY"])


def check(archive: Path, integrity: str) -> None:
    """Compares a file with a `sha512-<base64>` integrity, as npm's metadata has it."""
    with open(archive, "rb") as file:
        found = "sha512-" + base64.b64encode(hashlib.file_digest(file, "sha512").digest()).decode()
    if found != integrity:
        raise Refused(f"{archive.name}: integrity is {found}, claude.lock says {integrity}")


def download(lock: Lock, folder: Path) -> Path:
    command = ["npm", "pack", "--silent", "--ignore-scripts", f"{lock.package}@{lock.version}"]
    subprocess.run(command, cwd=folder, check=True, timeout=NPM_TIMEOUT, stdout=subprocess.DEVNULL)
    (archive,) = folder.glob("*.tgz")
    return archive


def unpack(archive: Path, target: Path) -> None:
    with tarfile.open(archive) as tar, tar.extractfile("package/claude") as source, open(target, "wb") as file:
        while block := source.read(1 << 22):
            file.write(block)
    target.chmod(0o755)


def ensure(lock: Lock, folder: Path) -> Path:
    """`folder/claude`, fetched when it is missing or of another version."""
    binary, stamp = folder / "claude", folder / "integrity"
    if binary.exists() and stamp.exists() and stamp.read_text() == lock.integrity:
        return binary
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        archive = download(lock, Path(scratch))
        check(archive, lock.integrity)
        unpack(archive, Path(scratch) / "claude")
        stamp.unlink(missing_ok=True)
        os.replace(Path(scratch) / "claude", binary)
    stamp.write_text(lock.integrity)
    return binary
