"""OCI layers and archives, written by hand: no daemon, no registry, no storage driver.

Owns the format and the store of blobs. Knows nothing of Longshore, Debian or claude. Layers are kept under a key that their maker
derives from its inputs; blobs are named by their digest. The same inputs give the same bytes: no clock, no user names, sorted
entries. Fails with OSError, or CalledProcessError when the `zstd` program does.
"""

import hashlib
import io
import json
import os
import subprocess
import tarfile
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

LAYER = "application/vnd.oci.image.layer.v1.tar+zstd"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def sha256_of_file(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass(frozen=True)
class Layer:
    """A stored layer: digest of the plain tar, then digest and size of what is stored."""

    diff_id: str
    digest: str
    size: int


@dataclass(frozen=True)
class Entry:
    """One path of a layer that is made of files. Without source and content it is a directory."""

    path: str
    source: Path | None = None
    content: bytes | None = None
    mode: int = 0o644
    owner: int = 0

    def fingerprint(self) -> list:
        body = sha256_of_file(self.source) if self.source else sha256(self.content) if self.content is not None else ""
        return [self.path, body, self.mode, self.owner]


class Store:
    """Blobs by digest, and layers by the key of what they were made from."""

    def __init__(self, folder: Path):
        self.blobs = folder / "blobs"
        self.keys = folder / "layers"
        self.blobs.mkdir(parents=True, exist_ok=True)
        self.keys.mkdir(parents=True, exist_ok=True)

    def blob(self, digest: str) -> Path:
        return self.blobs / digest

    def layer(self, key: list, make) -> Layer:
        """The layer made from `key`; `make(path)` writes its tar when it is not stored yet."""
        name = sha256(json.dumps(key, sort_keys=True).encode())
        record = self.keys / f"{name}.json"
        try:
            layer = Layer(**json.loads(record.read_text()))
            if self.blob(layer.digest).stat().st_size == layer.size:
                return layer
        except (OSError, ValueError, TypeError):
            pass  # never made, or the store was damaged: make it again
        with tempfile.TemporaryDirectory(dir=self.blobs.parent) as folder:
            tar = Path(folder) / "layer.tar"
            make(tar)
            layer = self._keep(tar)
        replace(record, json.dumps(asdict(layer)).encode())
        return layer

    def _keep(self, tar: Path) -> Layer:
        stored = tar.with_suffix(".zst")
        subprocess.run(["zstd", "-q", "-1", "-T0", "-o", stored, tar], check=True)
        layer = Layer(sha256_of_file(tar), sha256_of_file(stored), stored.stat().st_size)
        os.replace(stored, self.blob(layer.digest))
        return layer

    def files(self, entries: list[Entry]) -> Layer:
        return self.layer(["files"] + [entry.fingerprint() for entry in entries], lambda tar: write_tar(tar, entries))

    def prune(self, used: set[Layer]) -> None:
        """Forgets layers that no image uses any more, so that the folder does not grow with every build."""
        keep = {layer.digest for layer in used}
        for record in self.keys.iterdir():
            if json.loads(record.read_text()).get("digest") not in keep:
                record.unlink()
        for blob in self.blobs.iterdir():
            if blob.name not in keep:
                blob.unlink()


def write_tar(path: Path, entries: list[Entry]) -> None:
    made = set()
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as tar:
        for entry in entries:
            name = entry.path.strip("/")
            for parent in reversed(Path(name).parents[:-1]):
                if str(parent) not in made:
                    made.add(str(parent))
                    tar.addfile(_header(str(parent), tarfile.DIRTYPE, 0o755, 0))
            if entry.source:
                header = _header(name, tarfile.REGTYPE, entry.mode, entry.owner)
                header.size = entry.source.stat().st_size
                with open(entry.source, "rb") as file:
                    tar.addfile(header, file)
            elif entry.content is not None:
                header = _header(name, tarfile.REGTYPE, entry.mode, entry.owner)
                header.size = len(entry.content)
                tar.addfile(header, io.BytesIO(entry.content))
            else:
                made.add(name)
                tar.addfile(_header(name, tarfile.DIRTYPE, entry.mode, entry.owner))


def _header(name: str, kind: bytes, mode: int, owner: int) -> tarfile.TarInfo:
    header = tarfile.TarInfo(name)
    header.type, header.mode, header.uid, header.gid = kind, mode, owner, owner
    return header


@dataclass(frozen=True)
class Image:
    """Layers and settings of an image, and the documents that describe it."""

    layers: tuple[Layer, ...]
    settings: dict

    @property
    def config(self) -> bytes:
        rootfs = {"type": "layers", "diff_ids": [f"sha256:{layer.diff_id}" for layer in self.layers]}
        return _document({"architecture": "amd64", "os": "linux", "config": self.settings, "rootfs": rootfs})

    @property
    def manifest(self) -> bytes:
        return _document(
            {
                "schemaVersion": 2,
                "mediaType": MANIFEST,
                "config": {"mediaType": CONFIG, "digest": f"sha256:{sha256(self.config)}", "size": len(self.config)},
                "layers": [
                    {"mediaType": LAYER, "digest": f"sha256:{layer.digest}", "size": layer.size} for layer in self.layers
                ],
            }
        )

    @property
    def digest(self) -> str:
        return sha256(self.manifest)

    def index(self, references: list[str]) -> bytes:
        manifests = [
            {
                "mediaType": MANIFEST,
                "digest": f"sha256:{self.digest}",
                "size": len(self.manifest),
                "platform": {"architecture": "amd64", "os": "linux"},
                "annotations": {
                    "io.containerd.image.name": reference,
                    "org.opencontainers.image.ref.name": reference,
                },
            }
            for reference in references
        ]
        return _document({"schemaVersion": 2, "manifests": manifests})

    def archive(self, store: Store, references: list[str], path: Path, layers: tuple[Layer, ...] | None = None) -> None:
        """Writes an OCI archive. With `layers` only those go in: the receiver must have the others already."""
        documents = {
            "oci-layout": b'{"imageLayoutVersion":"1.0.0"}',
            "index.json": self.index(references),
            f"blobs/sha256/{self.digest}": self.manifest,
            f"blobs/sha256/{sha256(self.config)}": self.config,
        }
        part = path.with_name(path.name + ".part")
        with tarfile.open(part, "w", format=tarfile.GNU_FORMAT) as tar:
            for name, data in documents.items():
                header = _header(name, tarfile.REGTYPE, 0o644, 0)
                header.size = len(data)
                tar.addfile(header, io.BytesIO(data))
            for layer in dict.fromkeys(self.layers if layers is None else layers):
                header = _header(f"blobs/sha256/{layer.digest}", tarfile.REGTYPE, 0o644, 0)
                header.size = layer.size
                with open(store.blob(layer.digest), "rb") as file:
                    tar.addfile(header, file)
        os.replace(part, path)


def _document(value: dict) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def replace(path: Path, data: bytes) -> None:
    """Writes a file so that nobody ever reads half of it."""
    part = path.with_name(path.name + ".part")
    part.write_bytes(data)
    os.replace(part, path)

