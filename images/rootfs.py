"""Debian root file systems, made by mmdebstrap from the package servers that this machine's own apt uses.

Knows nothing of images. Fails with CalledProcessError when mmdebstrap does; what it printed stands on standard error.
"""

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
MMDEBSTRAP_TIMEOUT = 1800
# Like the official slim images: documentation of packages takes half of the space and nobody reads it in a pod.
LEFT_OUT = ["/usr/share/doc/*", "/usr/share/info/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/lintian/*"]
KEPT = ["/usr/share/doc/*/copyright", "/usr/share/locale/locale.alias"]


@dataclass(frozen=True)
class Debian:
    release: str
    packages: tuple[str, ...]
    setup: Path

    def key(self) -> list:
        """What the result depends on, apart from the state of the package servers."""
        return ["rootfs", self.release, list(self.packages), self.setup.read_text(), LEFT_OUT, KEPT]


def packages(text: str) -> tuple[str, ...]:
    """Names in a package list: one per line, `#` begins a comment."""
    return tuple(name for line in text.splitlines() if (name := line.split("#", 1)[0].strip()))


def mirrors(sources: str) -> tuple[str | None, str | None]:
    """Addresses of Debian's main and security archive in the text of apt's source files, in either format."""
    addresses = re.findall(r"https?://[^\s\]]+", re.sub(r"(?m)^\s*#.*$", "", sources))
    main = next((found for found in addresses if re.search(r"/debian/?$", found)), None)
    security = next((found for found in addresses if re.search(r"debian-security/?$", found)), None)
    return main, security


def source_lines(release: str, main: str | None, security: str | None) -> str:
    """Apt sources for mmdebstrap; empty means its own default."""
    signed = f"[signed-by={KEYRING}]"
    lines = []
    if main:
        lines += [f"deb {signed} {main} {release} main", f"deb {signed} {main} {release}-updates main"]
    if main and security:
        lines.append(f"deb {signed} {security} {release}-security main")
    return "\n".join(lines)


def machine_sources(folder: Path = Path("/etc/apt")) -> str:
    files = [folder / "sources.list", *sorted(folder.glob("sources.list.d/*"))]
    return "\n".join(file.read_text() for file in files if file.suffix in (".list", ".sources") and file.is_file())


def make(debian: Debian, target: Path) -> None:
    """Writes the root file system as a tar archive."""
    lines = source_lines(debian.release, *mirrors(machine_sources()))
    command = [
        "mmdebstrap",
        "--quiet",
        "--mode=root",
        "--variant=minbase",
        "--format=tar",
        "--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr",
        f"--include={','.join(debian.packages)}",
        *(f"--dpkgopt=path-exclude={path}" for path in LEFT_OUT),
        *(f"--dpkgopt=path-include={path}" for path in KEPT),
        # The script comes in by standard input: nothing of the build stays in the image.
        f'--customize-hook=chroot "$1" sh -s < "{debian.setup.resolve()}"',
        # Logs and caches differ from build to build.
        '--customize-hook=rm -rf "$1"/var/log/*.log "$1"/var/log/apt "$1"/var/cache/ldconfig/aux-cache "$1"/etc/*-',
        debian.release,
        str(target),
    ]
    if lines:
        command.append("-")
    environment = os.environ | {"SOURCE_DATE_EPOCH": "0", "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
    subprocess.run(command, input=lines, text=True, check=True, timeout=MMDEBSTRAP_TIMEOUT, env=environment)
