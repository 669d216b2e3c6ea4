"""`make install`: kinds first, then the chart, with the programs and the images that belong to the cluster."""

import os
import subprocess
import tempfile
import unittest
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parent.parent


class Installing(unittest.TestCase):
    """helm and kubectl are stand-ins that write down how they are called."""

    def install(self, *arguments):
        with tempfile.TemporaryDirectory() as folder:
            for program in ("helm", "kubectl"):
                path = Path(folder, program)
                path.write_text(f'#!/bin/sh\necho {program} "$@" >> "{folder}/calls"\n')
                path.chmod(0o755)
            environment = os.environ | {
                "PATH": f"{folder}:{os.environ['PATH']}", "KUBECONFIG": f"{folder}/kubeconfig", "STATE": f"{folder}/state", "VALUES": "",
            }
            ran = subprocess.run([SCRIPTS / "install", *arguments], env=environment, capture_output=True, text=True, timeout=60)
            calls = Path(folder, "calls")
            return ran, calls.read_text().splitlines() if calls.exists() else []

    def test_kinds_that_an_older_release_left_are_brought_up_to_date_before_the_chart(self):
        ran, calls = self.install("--set", "a=b")
        self.assertEqual(ran.returncode, 0, ran.stderr)
        self.assertEqual([call.split()[:2] for call in calls], [["kubectl", "apply"], ["kubectl", "wait"], ["helm", "upgrade"]])
        self.assertIn("--server-side --force-conflicts -f charts/longshore/crds", calls[0])
        self.assertTrue(calls[2].endswith("--set a=b"), calls[2])

    def test_a_dry_run_changes_no_kinds(self):
        for argument in ("--dry-run=server", "--dry-run", "--skip-crds"):
            _, calls = self.install(argument)
            self.assertEqual([call.split()[0] for call in calls], ["helm"], argument)

    def test_kinds_and_chart_cannot_go_to_different_clusters(self):
        for argument in ("--kube-context=other", "--kubeconfig=other"):
            ran, calls = self.install(argument)
            self.assertNotEqual(ran.returncode, 0)
            self.assertEqual(calls, [])


if __name__ == "__main__":
    unittest.main()
