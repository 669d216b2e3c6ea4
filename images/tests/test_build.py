"""Archives are deterministic and complete; what was not pinned is refused; sources of apt are understood."""

import base64
import hashlib
import io
import json
import sys
import tarfile
import tempfile
import unittest
from pathlib import Path

IMAGES = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(IMAGES))

import claude
import oci
import rootfs


class InFolder(unittest.TestCase):
    def setUp(self):
        self.scratch = tempfile.TemporaryDirectory()
        self.addCleanup(self.scratch.cleanup)
        self.folder = Path(self.scratch.name)


class Archives(InFolder):
    def image(self, store, code=b"one"):
        base = store.files([oci.Entry("etc/passwd", content=b"root:x:0:0::/:/bin/sh\n"), oci.Entry("topic", mode=0o755, owner=1000)])
        return oci.Image((base, store.files([oci.Entry("usr/local/bin/program", content=code, mode=0o755)])), {"User": "1000:1000"})

    def names(self, path):
        with tarfile.open(path) as tar:
            return tar.getnames()

    def test_the_same_inputs_give_the_same_bytes(self):
        for place in ("a", "b"):
            store = oci.Store(self.folder / place)
            self.image(store).archive(store, ["localhost/x:dev"], self.folder / f"{place}.tar")
        self.assertEqual((self.folder / "a.tar").read_bytes(), (self.folder / "b.tar").read_bytes())

    def test_every_blob_is_named_by_its_digest(self):
        store = oci.Store(self.folder / "store")
        self.image(store).archive(store, ["localhost/x:dev"], self.folder / "x.tar")
        with tarfile.open(self.folder / "x.tar") as tar:
            blobs = [member for member in tar if member.name.startswith("blobs/")]
            self.assertEqual(len(blobs), 4)
            for member in blobs:
                self.assertEqual(hashlib.sha256(tar.extractfile(member).read()).hexdigest(), Path(member.name).name)

    def test_both_names_lead_to_the_same_manifest(self):
        store = oci.Store(self.folder / "store")
        image = self.image(store)
        entries = json.loads(image.index(["localhost/x:dev", "localhost/x:dev-1"]))["manifests"]
        self.assertEqual({entry["digest"] for entry in entries}, {f"sha256:{image.digest}"})
        self.assertEqual([entry["annotations"]["io.containerd.image.name"] for entry in entries], ["localhost/x:dev", "localhost/x:dev-1"])

    def test_a_change_of_code_changes_the_last_layer_only(self):
        store = oci.Store(self.folder / "store")
        before, after = self.image(store), self.image(store, b"two")
        self.assertEqual(before.layers[0], after.layers[0])
        self.assertNotEqual(before.layers[1], after.layers[1])
        self.assertNotEqual(before.digest, after.digest)

    def test_a_thin_archive_has_the_last_layer_and_all_documents(self):
        store = oci.Store(self.folder / "store")
        image = self.image(store)
        image.archive(store, ["localhost/x:dev"], self.folder / "thin.tar", image.layers[-1:])
        names = self.names(self.folder / "thin.tar")
        self.assertIn(f"blobs/sha256/{image.layers[1].digest}", names)
        self.assertNotIn(f"blobs/sha256/{image.layers[0].digest}", names)
        self.assertIn(f"blobs/sha256/{image.digest}", names)

    def test_modes_and_owners_are_kept_and_parents_are_made(self):
        oci.write_tar(self.folder / "x.tar", [oci.Entry("a/b/c", content=b"", mode=0o755), oci.Entry("topic", mode=0o700, owner=1000)])
        with tarfile.open(self.folder / "x.tar") as tar:
            found = [(member.name, oct(member.mode), member.uid, member.mtime) for member in tar]
        self.assertEqual(found, [("a", "0o755", 0, 0), ("a/b", "0o755", 0, 0), ("a/b/c", "0o755", 0, 0), ("topic", "0o700", 1000, 0)])

    def test_a_layer_is_made_once_and_again_when_its_blob_is_damaged(self):
        store, made = oci.Store(self.folder / "store"), []

        def make(tar):
            made.append(tar)
            oci.write_tar(tar, [oci.Entry("x", content=b"x")])

        layer = store.layer(["key"], make)
        self.assertEqual(store.layer(["key"], make), layer)
        self.assertEqual(len(made), 1)
        store.blob(layer.digest).write_bytes(b"")
        self.assertEqual(store.layer(["key"], make), layer)
        self.assertEqual(len(made), 2)

    def test_pruning_forgets_what_no_image_uses(self):
        store = oci.Store(self.folder / "store")
        old, new = self.image(store, b"old"), self.image(store, b"new")
        store.prune(set(new.layers))
        self.assertFalse(store.blob(old.layers[1].digest).exists())
        self.assertTrue(all(store.blob(layer.digest).exists() for layer in new.layers))


class Pinned(InFolder):
    def package(self, content):
        path = self.folder / "package.tgz"
        with tarfile.open(path, "w:gz") as tar:
            header = tarfile.TarInfo("package/claude")
            header.size = len(content)
            tar.addfile(header, io.BytesIO(content))
        return path

    def test_a_package_with_another_content_is_refused(self):
        wanted = "sha512-" + base64.b64encode(hashlib.sha512(b"what was pinned").digest()).decode()
        with self.assertRaisesRegex(claude.Refused, "claude.lock says"):
            claude.check(self.package(b"something else"), wanted)

    def test_the_pinned_package_is_taken_and_unpacked_executable(self):
        package = self.package(b"#!/bin/sh\n")
        digest = hashlib.sha512(package.read_bytes()).digest()
        claude.check(package, "sha512-" + base64.b64encode(digest).decode())
        claude.unpack(package, self.folder / "claude")
        self.assertEqual((self.folder / "claude").stat().st_mode & 0o777, 0o755)

    def test_a_binary_of_the_pinned_version_is_not_fetched_again(self):
        lock = claude.Lock("@scope/none", "0.0.0", "sha512-x")
        (self.folder / "claude").write_bytes(b"")
        (self.folder / "integrity").write_text(lock.integrity)
        self.assertEqual(claude.ensure(lock, self.folder), self.folder / "claude")

    def test_the_lock_file_is_complete(self):
        lock = claude.Lock.read(IMAGES / "claude.lock")
        self.assertTrue(lock.package and lock.version)
        self.assertEqual(len(base64.b64decode(lock.integrity.removeprefix("sha512-"))), 64)


class AptSources(unittest.TestCase):
    def test_both_formats_are_read_and_other_vendors_left_out(self):
        new = "Types: deb\n# http://old.example/debian\nURIs: http://mirror.example/debian\nSuites: bookworm\n\nURIs: http://mirror.example/debian-security/\n"
        old = "deb [signed-by=/k] https://vendor.example/apt stable main\ndeb http://mirror.example/debian bookworm main\ndeb http://mirror.example/debian-security bookworm-security main\n"
        self.assertEqual(rootfs.mirrors(new), ("http://mirror.example/debian", "http://mirror.example/debian-security/"))
        self.assertEqual(rootfs.mirrors(old), ("http://mirror.example/debian", "http://mirror.example/debian-security"))

    def test_without_a_debian_source_the_default_of_mmdebstrap_is_used(self):
        self.assertEqual(rootfs.source_lines("bookworm", *rootfs.mirrors("deb https://vendor.example/apt stable main")), "")

    def test_comments_and_empty_lines_are_no_packages(self):
        self.assertEqual(rootfs.packages("# tools\ngit  # versions\n\ncurl\n"), ("git", "curl"))


if __name__ == "__main__":
    unittest.main()
