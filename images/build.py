#!/usr/bin/env python3
"""Builds the images of images.toml without a registry and without Docker.

    build.py claude           fetch the pinned claude binary to target/claude/claude
    build.py base             make the Debian root file system and the claude layer (neither needs a compiler)
    build.py images [NAME..]  write target/images/<name>.tar, and <name>.thin.tar with the last layer alone
    build.py tag NAME         print the tag that stands for the content of an image as it was built last

The binaries must have been built before (`make binaries`). After a change of code a rebuild takes about a second: all layers but
the last come from the store in target/images/store.
"""

import argparse
import json
import subprocess
import sys
import tarfile
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path

import claude
import rootfs
from oci import Entry, Image, Layer, Store, replace, write_tar

HERE = Path(__file__).resolve().parent
CERTIFICATES = "etc/ssl/certs/ca-certificates.crt"
TRIPLE = "x86_64-unknown-linux-gnu"


@dataclass
class Workshop:
    """Where inputs are taken from and results are put."""

    description: dict
    binaries: Path
    target: Path

    def __post_init__(self):
        self.store = Store(self.target / "images/store")
        self.lock = claude.Lock.read(HERE / "claude.lock")

    @property
    def images(self) -> dict[str, dict]:
        return {name: table for name, table in self.description.items() if "layers" in table}

    def claude(self) -> Path:
        return claude.ensure(self.lock, self.target / "claude")

    def debian(self, name: str) -> rootfs.Debian:
        packages = rootfs.packages((HERE / f"{name}-packages.txt").read_text())
        return rootfs.Debian(self.description["debian"]["release"], packages, HERE / f"{name}-setup.sh")

    def layer(self, table: dict) -> Layer:
        match table:
            case {"rootfs": name}:
                debian = self.debian(name)
                return self.store.layer(debian.key(), lambda tar: rootfs.make(debian, tar))
            case {"claude": path}:
                # Keyed by the pin, so that the large file is read once and not at every build.
                key = ["claude", self.lock.integrity, path]
                return self.store.layer(key, lambda tar: write_tar(tar, [Entry(path, source=self.claude(), mode=0o755)]))
            case {"certificates": name}:
                base = self.layer({"rootfs": name})
                key = ["certificates", base.diff_id]
                return self.store.layer(key, lambda tar: write_tar(tar, [Entry(CERTIFICATES, content=self.certificates(base))]))
            case {"accounts": users}:
                return self.store.files(accounts(users))
            case {"binaries": names}:
                return self.store.files([self.binary(name) for name in names])
        sys.exit(f"images.toml: unknown kind of layer: {table}")

    def binary(self, name: str) -> Entry:
        source = self.binaries / name
        if not source.exists():
            sys.exit(f"{source} is missing: run `make binaries` first")
        return Entry(f"usr/local/bin/{name}", source=source, mode=0o755)

    def certificates(self, base: Layer) -> bytes:
        command = ["zstd", "-dcq", self.store.blob(base.digest)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as unpacked:
            with tarfile.open(fileobj=unpacked.stdout, mode="r|") as tar:
                for member in tar:
                    if member.name.removeprefix("./") == CERTIFICATES:
                        found = tar.extractfile(member).read()
                        unpacked.kill()
                        return found
        sys.exit(f"the root file system has no {CERTIFICATES}: is ca-certificates in its package list?")

    def image(self, name: str) -> Image:
        table = self.images[name]
        return Image(tuple(self.layer(layer) for layer in table["layers"]), settings(table))

    def write(self, name: str) -> str:
        """Builds one image; returns what to print about it."""
        began = time.monotonic()
        image, folder = self.image(name), self.target / "images"
        record, archive, thin = folder / f"{name}.json", folder / f"{name}.tar", folder / f"{name}.thin.tar"
        reference = self.images[name]["reference"]
        state = {"reference": reference, "tag": f"dev-{image.digest[:12]}", "digest": f"sha256:{image.digest}"}
        same = archive.exists() and thin.exists() and record.exists() and json.loads(record.read_text()) == state
        if not same:
            # The second name changes with the content: a Deployment that names it rolls out when its image is another one.
            references = [f"{reference}:dev", f"{reference}:{state['tag']}"]
            image.archive(self.store, references, archive)
            image.archive(self.store, references, thin, image.layers[-1:])
            replace(record, json.dumps(state, indent=1).encode())
        took = time.monotonic() - began
        size = archive.stat().st_size / 1e6
        return f"{reference}:{state['tag']}  {size:.1f} MB  {'unchanged' if same else 'written'} in {took:.1f} s"

    def prune(self) -> None:
        """Drops layers of earlier builds. Only after all images were built: then all layers in use are known."""
        self.store.prune({self.layer(layer) for table in self.images.values() for layer in table["layers"]})


def accounts(users: list[dict]) -> list[Entry]:
    rows = [("root", 0), *((user["name"], user["id"]) for user in users)]
    passwd = "".join(f"{name}:x:{number}:{number}::/:/sbin/nologin\n" for name, number in rows)
    group = "".join(f"{name}:x:{number}:\n" for name, number in rows)
    return [Entry("etc/passwd", content=passwd.encode()), Entry("etc/group", content=group.encode())]


def settings(table: dict) -> dict:
    """The runtime part of an image's configuration."""
    found = {
        "Env": [f"{key}={value}" for key, value in table["env"].items()],
        "User": table["user"],
        "WorkingDir": table["workdir"],
        "Entrypoint": table["entrypoint"],
    }
    return {key: value for key, value in found.items() if value}


def workshop(arguments: argparse.Namespace) -> Workshop:
    target = arguments.target.resolve()
    binaries = arguments.binaries or target / "static" / TRIPLE / "release"
    return Workshop(tomllib.loads((HERE / "images.toml").read_text()), binaries, target)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=["claude", "base", "images", "tag"])
    parser.add_argument("names", nargs="*", help="images; default all")
    parser.add_argument("--target", type=Path, default=HERE.parent / "target", help="build folder (default: target)")
    parser.add_argument("--binaries", type=Path, help="folder of the static binaries")
    arguments = parser.parse_args()
    shop = workshop(arguments)
    if unknown := set(arguments.names) - set(shop.images):
        parser.error(f"no such image: {', '.join(sorted(unknown))}; there are {', '.join(shop.images)}")
    match arguments.command:
        case "claude":
            print(f"claude {shop.lock.version}: {shop.claude()}")
        case "base":
            for layer in shop.images["agent"]["layers"][:-1]:
                print(f"{next(iter(layer))}: {shop.layer(layer).size / 1e6:.0f} MB compressed")
        case "images":
            for name in arguments.names or shop.images:
                print(shop.write(name), flush=True)
            if not arguments.names:
                shop.prune()
        case "tag":
            for name in arguments.names:
                print(json.loads((shop.target / f"images/{name}.json").read_text())["tag"])


if __name__ == "__main__":
    main()
