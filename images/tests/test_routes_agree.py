"""The Dockerfiles and images.toml describe the same images."""

import sys
import tomllib
import unittest
from pathlib import Path

IMAGES = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(IMAGES), str(IMAGES / "tests")]

import build
import dockerfile

DESCRIPTION = tomllib.loads((IMAGES / "images.toml").read_text())
WORKSPACE = tomllib.loads((IMAGES.parent / "Cargo.toml").read_text())
TABLES = {name: table for name, table in DESCRIPTION.items() if "layers" in table}


def layers(table, kind):
    return [layer[kind] for layer in table["layers"] if kind in layer]


class RoutesAgree(unittest.TestCase):
    def each(self):
        for table in TABLES.values():
            yield table, dockerfile.parse((IMAGES / table["dockerfile"]).read_text())

    def test_every_dockerfile_is_described(self):
        described = {table["dockerfile"] for table in TABLES.values()}
        self.assertEqual(described, {path.name for path in IMAGES.glob("*.Dockerfile")})

    def test_settings_are_the_same(self):
        for table, file in self.each():
            final = file.final
            self.assertEqual(final.last("USER"), table["user"])
            self.assertEqual(final.last("WORKDIR"), table["workdir"])
            self.assertEqual(final.env, table["env"])
            self.assertEqual(final.entrypoint, table["entrypoint"])
            self.assertEqual(final.last("CMD"), "", "a command would be passed to the entrypoint by one route only")

    def test_debian_is_of_the_same_release(self):
        for _, file in self.each():
            self.assertEqual(file.arguments["DEBIAN_RELEASE"], DESCRIPTION["debian"]["release"])

    def test_rust_is_the_workspaces_minimum(self):
        for _, file in self.each():
            self.assertEqual(file.arguments["RUST_VERSION"], WORKSPACE["workspace"]["package"]["rust-version"])

    def test_packages_come_from_the_shared_list_only(self):
        for table, file in self.each():
            for name in layers(table, "rootfs"):
                self.assertIn(f"/tmp/{name}-packages.txt", file.final.runs)
                self.assertIn(f"/tmp/{name}-setup.sh", file.final.runs)
                words = file.final.runs.replace("/", " ").split()
                listed = build.rootfs.packages((IMAGES / f"{name}-packages.txt").read_text())
                self.assertEqual([package for package in listed if package in words], [])
            if not layers(table, "rootfs"):
                self.assertEqual(file.final.base, "scratch")

    def test_claude_is_pinned_in_one_place(self):
        lock = build.claude.Lock.read(IMAGES / "claude.lock")
        for path in IMAGES.rglob("*"):
            if path.is_file() and path.suffix not in (".lock", ".pyc"):
                self.assertNotIn(lock.version, path.read_text(), f"{path.name} repeats the version of claude")
        agent = dockerfile.parse((IMAGES / "agent.Dockerfile").read_text())
        self.assertIn("images/claude.lock .", agent.stage("claude").copies)
        self.assertIn("sha512sum --check", agent.stage("claude").runs)

    def test_binaries_are_the_same_and_static(self):
        for table, file in self.each():
            build_stage = file.stage("build")
            (wanted,) = layers(table, "binaries")
            for binary in wanted:
                self.assertIn(f"-p {binary}", build_stage.runs)
                self.assertIn(f"target/{build.TRIPLE}/release/{binary}", build_stage.runs)
            self.assertEqual(build_stage.runs.count(" -p "), len(wanted))
            self.assertIn(f"--target {build.TRIPLE}", build_stage.runs)
            self.assertIn("+crt-static", str(build_stage.env))
            self.assertEqual(file.final.copies[-1], "--from=build --chmod=0755 /out/ /usr/local/bin/")

    def test_accounts_are_the_same(self):
        for table, file in self.each():
            for users in layers(table, "accounts"):
                for entry in build.accounts(users):
                    written = entry.content.decode().replace("\n", "\\n")
                    self.assertIn(f"printf '{written}' > /{Path(entry.path).name}", file.stage("build").runs)

    def test_certificates_are_in_both_or_neither(self):
        for table, file in self.each():
            copied = any(build.CERTIFICATES in copy for copy in file.final.copies)
            self.assertEqual(copied, bool(layers(table, "certificates")))

    def test_the_layer_that_changes_with_our_code_is_the_last(self):
        for table in TABLES.values():
            self.assertEqual(list(table["layers"][-1]), ["binaries"])
            self.assertEqual(len(layers(table, "binaries")), 1)


if __name__ == "__main__":
    unittest.main()
