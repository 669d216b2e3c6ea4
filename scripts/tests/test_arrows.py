"""The arrows between the crates point one way, and what must never be linked is not."""

import json
import subprocess
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# What each crate of the product may use of our own, besides tests. The stand-ins and the suite may use what they like but these.
ALLOWED = {
    "longshore-crds": set(),
    "longshore-wire": set(),
    "longshore-routing": {"longshore-crds"},
    "longshore-runner": {"longshore-wire"},
    "longshore-operator": {"longshore-crds", "longshore-routing", "longshore-wire"},
    "longshore-bot": {"longshore-crds", "longshore-routing", "longshore-wire"},
    "kubectl-longshore": {"longshore-crds", "longshore-routing", "longshore-wire"},
}
NEVER_USED = {"longshore-operator", "longshore-bot", "longshore-runner", "kubectl-longshore"}


def metadata():
    command = ["cargo", "metadata", "--locked", "--no-deps", "--format-version", "1"]
    return json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True, timeout=120).stdout)


class Arrows(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.packages = {package["name"]: package for package in metadata()["packages"]}

    def ours(self, name, kinds):
        """Our own crates that a crate depends on; kind None is a normal dependency."""
        found = self.packages[name]["dependencies"]
        return {one["name"] for one in found if one["kind"] in kinds and one["name"] in self.packages}

    def test_the_product_depends_in_one_direction_only(self):
        for name, allowed in ALLOWED.items():
            self.assertLessEqual(self.ours(name, {None, "build"}), allowed, name)

    def test_nothing_depends_on_programs(self):
        for name in self.packages:
            self.assertEqual(self.ours(name, {None, "build", "dev"}) & NEVER_USED, set(), name)

    def test_api_types_wire_and_routing_do_no_io(self):
        for name in ("longshore-crds", "longshore-wire", "longshore-routing"):
            used = {one["name"] for one in self.packages[name]["dependencies"] if one["kind"] is None}
            self.assertEqual(used & {"tokio", "reqwest", "hyper", "axum", "rusqlite"}, set(), name)
        kube = [one for one in self.packages["longshore-crds"]["dependencies"] if one["name"] == "kube" and one["kind"] is None]
        self.assertNotIn("client", kube[0]["features"])
        self.assertNotIn("kube", {one["name"] for one in self.packages["longshore-routing"]["dependencies"] if one["kind"] is None})

    def test_the_runner_knows_no_kubernetes_client(self):
        used = {one["name"] for one in self.packages["longshore-runner"]["dependencies"]}
        self.assertEqual(used & {"kube", "k8s-openapi", "longshore-crds"}, set())


if __name__ == "__main__":
    unittest.main()
