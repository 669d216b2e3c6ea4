"""Versions that the documents name are those that the code asks for."""

import re
import tomllib
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent


def read(path: str) -> str:
    return (ROOT / path).read_text()


class Versions(unittest.TestCase):
    def test_the_readme_names_the_toolchains_that_setup_cannot_install(self):
        rust = tomllib.loads(read("Cargo.toml"))["workspace"]["package"]["rust-version"]
        go = re.search(r"^go (\S+)", read("e2e/cluster/go.mod"), re.MULTILINE)[1]
        self.assertIn(f"`make`, Rust {rust} and Go {go} or newer", read("README.md"))

    def test_the_installation_asks_for_the_kubernetes_that_the_chart_asks_for(self):
        wanted = re.search(r'^kubeVersion: ">=(\d+\.\d+)\.', read("charts/longshore/Chart.yaml"), re.MULTILINE)[1]
        self.assertIn(f"Kubernetes cluster ({wanted} or newer)", read("docs/install.md"))


if __name__ == "__main__":
    unittest.main()
