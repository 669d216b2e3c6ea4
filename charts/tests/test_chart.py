"""What the chart renders: least privilege, restricted pods, and values that are refused.

Needs PyYAML, and a helm: LONGSHORE_HELM, else the one inside target/bin/cluster, else the one in PATH.
"""

import json
import os
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

import yaml

HERE = Path(__file__).resolve().parent
CHART = HERE.parent / "longshore"
ROOT = HERE.parent.parent


def helm_command() -> list[str]:
    built = ROOT / "target/bin/cluster"
    if found := os.environ.get("LONGSHORE_HELM") or (not built.exists() and shutil.which("helm")):
        return [found]
    return [str(built), "helm"]


class Refused(Exception):
    pass


def helm(*arguments: str, values: dict | None = None) -> str:
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(values or {}, file)
        file.flush()
        command = [*helm_command(), *arguments, "--values", file.name]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=120)
    if ran.returncode:
        raise Refused(ran.stderr)
    return ran.stdout


def documents(text: str) -> list[dict]:
    return [found for found in yaml.safe_load_all(text) if found]


def render(values: dict | None = None) -> list[dict]:
    return documents(helm("template", "longshore", str(CHART), "--namespace", "here", values=values))


def of_kind(objects, *kinds):
    return [found for found in objects if found["kind"] in kinds]


def named(objects, kind, name):
    (found,) = [found for found in of_kind(objects, kind) if found["metadata"]["name"] == name]
    return found


def pod_specs(objects):
    return {found["metadata"]["name"]: found["spec"]["template"]["spec"] for found in of_kind(objects, "Deployment", "Job", "StatefulSet")}


def environment(objects, deployment):
    (container,) = named(objects, "Deployment", deployment)["spec"]["template"]["spec"]["containers"]
    return {entry["name"]: entry.get("value", entry.get("valueFrom")) for entry in container["env"]}


def rules(objects, name):
    return [rule for found in of_kind(objects, "Role", "ClusterRole") if found["metadata"]["name"].endswith(name) for rule in found["rules"]]


def allowed(objects, name, resource):
    return {verb for rule in rules(objects, name) if resource in rule["resources"] for verb in rule["verbs"]}


class Access(unittest.TestCase):
    def setUp(self):
        self.objects = render()

    def test_nothing_is_cluster_wide_by_default(self):
        self.assertEqual(of_kind(self.objects, "ClusterRole", "ClusterRoleBinding"), [])
        self.assertEqual({found["metadata"]["namespace"] for found in self.objects}, {"here"})

    def test_no_rule_has_a_wildcard_and_no_secret_can_be_listed(self):
        for values in ({}, {"watchNamespaces": ["*"]}):
            for role in of_kind(render(values), "Role", "ClusterRole"):
                for rule in role["rules"]:
                    self.assertNotIn("*", rule["verbs"] + rule["resources"] + rule["apiGroups"])
                    if "secrets" in rule["resources"] and rule["verbs"] != ["create"]:
                        self.assertEqual(rule["resourceNames"], ["longshore-access"])
                        self.assertEqual(rule["verbs"], ["get"])
                    self.assertFalse({"impersonate", "bind", "escalate", "deletecollection"} & set(rule["verbs"]))

    def test_the_bot_touches_only_our_kinds(self):
        groups = {group for rule in rules(self.objects, "-bot") for group in rule["apiGroups"]}
        self.assertEqual(groups, {"longshore.dev", ""})
        core = {resource for rule in rules(self.objects, "-bot") if "" in rule["apiGroups"] for resource in rule["resources"]}
        self.assertEqual(core, {"secrets"})
        self.assertFalse(any("delete" in rule["verbs"] for rule in rules(self.objects, "-bot")))

    def test_nobody_changes_who_may_use_the_bot(self):
        self.assertEqual({"list", "watch"}, allowed(self.objects, "-bot", "routingpolicies"))
        self.assertEqual({"get"}, allowed(self.objects, "-bot", "agentclasses"))
        self.assertEqual(set(), allowed(self.objects, "-bot", "routingpolicies/status"))
        self.assertEqual({"get", "list", "watch"}, allowed(self.objects, "-operator", "routingpolicies"))
        self.assertEqual({"patch"}, allowed(self.objects, "-operator", "routingpolicies/status"))

    def test_the_operator_never_edits_a_spec(self):
        for resource in ("agentclasses", "topics", "routingpolicies", "scheduledtasks"):
            self.assertFalse({"create", "update", "patch"} & allowed(self.objects, "-operator", resource), resource)
        # Runs of schedules are created, and never changed.
        self.assertEqual({"get", "list", "watch", "create", "delete"}, allowed(self.objects, "-operator", "containertasks"))
        # Of a session it sets and lifts the finalizer, and asks it to wake up for a schedule; there is no smaller right for that.
        self.assertEqual({"get", "list", "watch", "patch"}, allowed(self.objects, "-operator", "persistentsessions"))

    def test_the_operator_never_deletes_volumes_or_topics_and_never_runs_commands_in_pods(self):
        for resource in ("persistentvolumeclaims", "pods", "topics", "persistentsessions", "agentclasses", "scheduledtasks"):
            self.assertNotIn("delete", allowed(self.objects, "-operator", resource), resource)
        for resource in ("pods/exec", "pods/log", "roles", "serviceaccounts", "configmaps"):
            self.assertEqual(allowed(self.objects, "-operator", resource), set(), resource)

    def test_operator_bot_and_uninstall_have_accounts_of_their_own(self):
        accounts = {name: spec["serviceAccountName"] for name, spec in pod_specs(self.objects).items()}
        self.assertEqual(accounts, {"longshore-operator": "longshore-operator", "longshore-bot": "longshore-bot", "longshore-uninstall": "longshore-uninstall"})

    def test_every_binding_leads_to_a_role_and_an_account_that_exist(self):
        for values in ({}, {"watchNamespaces": ["a", "b"]}, {"watchNamespaces": ["*"]}):
            objects = render(values)
            there = {(found["kind"], found["metadata"].get("namespace"), found["metadata"]["name"]) for found in objects}
            for binding in of_kind(objects, "RoleBinding", "ClusterRoleBinding"):
                role = binding["roleRef"]
                self.assertIn((role["kind"], binding["metadata"].get("namespace"), role["name"]), there)
                for subject in binding["subjects"]:
                    self.assertIn(("ServiceAccount", subject["namespace"], subject["name"]), there)


class Namespaces(unittest.TestCase):
    def test_a_list_gets_a_role_a_binding_and_a_class_in_each(self):
        objects = render({"watchNamespaces": ["a", "b"]})
        for kind, name in (("Role", "longshore-operator"), ("RoleBinding", "longshore-operator"), ("AgentClass", "default")):
            places = {found["metadata"]["namespace"] for found in of_kind(objects, kind) if found["metadata"]["name"] == name}
            self.assertEqual(places, {"a", "b"})
        self.assertEqual(environment(objects, "longshore-operator")["LONGSHORE_WATCH_NAMESPACES"], "a,b")
        self.assertEqual(environment(objects, "longshore-bot")["LONGSHORE_NAMESPACE"], "a")
        self.assertEqual(of_kind(objects, "ClusterRole"), [])

    def test_a_star_needs_the_cluster_role(self):
        objects = render({"watchNamespaces": ["*"]})
        self.assertEqual(len(of_kind(objects, "ClusterRole", "ClusterRoleBinding")), 4)
        self.assertEqual(environment(objects, "longshore-operator")["LONGSHORE_WATCH_NAMESPACES"], "*")
        self.assertEqual(environment(objects, "longshore-bot")["LONGSHORE_NAMESPACE"], "here")


class Pods(unittest.TestCase):
    def test_all_meet_the_restricted_standard(self):
        specs = pod_specs(render())
        self.assertEqual(len(specs), 3)
        for spec in specs.values():
            self.assertTrue(spec["securityContext"]["runAsNonRoot"])
            self.assertEqual(spec["securityContext"]["seccompProfile"], {"type": "RuntimeDefault"})
            self.assertLessEqual({kind for volume in spec.get("volumes", []) for kind in volume} - {"name"}, {"emptyDir", "persistentVolumeClaim"})
            for container in spec["containers"]:
                security = container["securityContext"]
                self.assertEqual(security, {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}})
                self.assertIn("memory", container["resources"]["limits"])

    def test_a_large_user_id_stays_as_it_is(self):
        found = environment(render({"telegram": {"allowedUsers": [7000000001, 5, 4503599627370495]}}), "longshore-bot")
        self.assertEqual(found["LONGSHORE_ALLOWED_USERS"], "7000000001,5,4503599627370495")

    def test_one_user_id_is_text_and_none_is_nobody(self):
        self.assertEqual(environment(render({"telegram": {"allowedUsers": [7]}}), "longshore-bot")["LONGSHORE_ALLOWED_USERS"], "7")
        self.assertEqual(environment(render(), "longshore-bot")["LONGSHORE_ALLOWED_USERS"], "")

    def test_the_token_stands_in_no_manifest(self):
        found = environment(render(), "longshore-bot")["TELEGRAM_BOT_TOKEN"]
        self.assertEqual(found, {"secretKeyRef": {"name": "telegram", "key": "token"}})

    def test_there_is_never_a_second_bot(self):
        spec = named(render(), "Deployment", "longshore-bot")["spec"]
        self.assertEqual((spec["replicas"], spec["strategy"]), (1, {"type": "Recreate"}))

    def test_a_claim_of_the_users_own_takes_the_place_of_ours(self):
        objects = render({"bot": {"persistence": {"existingClaim": "mine"}}})
        self.assertEqual(of_kind(objects, "PersistentVolumeClaim"), [])
        volumes = pod_specs(objects)["longshore-bot"]["volumes"]
        self.assertIn({"name": "store", "persistentVolumeClaim": {"claimName": "mine"}}, volumes)

    def test_without_the_bot_nothing_of_it_is_left(self):
        objects = render({"bot": {"enabled": False}})
        self.assertFalse([found for found in objects if "bot" in found["metadata"]["name"]])

    def test_the_agent_image_follows_the_operators_unless_named(self):
        values = {"image": {"repository": "example.org:5000/team/longshore", "tag": "1.2"}}
        self.assertEqual(environment(render(values), "longshore-operator")["LONGSHORE_AGENT_IMAGE"], "example.org:5000/team/longshore-agent:1.2")
        values["agent"] = {"image": "other:1"}
        self.assertEqual(environment(render(values), "longshore-operator")["LONGSHORE_AGENT_IMAGE"], "other:1")

    def test_uninstalling_waits_for_a_slow_summary_and_ends_before_helms_patience(self):
        job = named(render(), "Job", "longshore-uninstall")
        self.assertEqual(job["metadata"]["annotations"]["helm.sh/hook"], "pre-delete")
        (container,) = job["spec"]["template"]["spec"]["containers"]
        wait = next(int(entry["value"]) for entry in container["env"] if entry["name"] == "LONGSHORE_UNINSTALL_TIMEOUT")
        drain, grace, lift, helms_default = 120, 30, 15, 300
        self.assertGreaterEqual(wait, drain + grace)
        self.assertGreater(job["spec"]["activeDeadlineSeconds"], wait + lift)
        self.assertLess(job["spec"]["activeDeadlineSeconds"], helms_default)


class Classes(unittest.TestCase):
    def test_the_class_takes_endpoint_and_key_from_anthropic_and_the_rest_as_written(self):
        values = {
            "anthropic": {"baseUrl": "http://model:8080", "credentialsSecret": {"name": "k", "key": "v", "type": "OAuthToken"}},
            "agentClass": {"name": "deep", "limits": {"maxActiveSessions": 2}, "egress": [{"to": [{"podSelector": {}}]}]},
        }
        (found,) = of_kind(render(values), "AgentClass")
        self.assertEqual(found["metadata"]["name"], "deep")
        self.assertEqual(
            found["spec"],
            {
                "baseUrl": "http://model:8080",
                "credentials": {"secretRef": {"name": "k", "key": "v"}, "type": "OAuthToken"},
                "limits": {"maxActiveSessions": 2},
                "egress": [{"to": [{"podSelector": {}}]}],
            },
        )

    def test_no_credentials_are_asked_for_when_none_are_named(self):
        (found,) = of_kind(render({"anthropic": {"credentialsSecret": {"name": ""}}}), "AgentClass")
        self.assertNotIn("credentials", found["spec"])

    def test_limits_of_a_namespace_are_a_class_of_that_name_in_each(self):
        values = {"watchNamespaces": ["a", "b"], "namespaceLimits": {"maxActiveSessions": 3}}
        found = [one for one in of_kind(render(values), "AgentClass") if one["metadata"]["name"] == "namespace"]
        self.assertEqual([one["metadata"]["namespace"] for one in found], ["a", "b"])
        self.assertEqual([one["spec"] for one in found], [{"limits": {"maxActiveSessions": 3}}] * 2)
        self.assertNotIn("namespace", [one["metadata"]["name"] for one in of_kind(render({}), "AgentClass")])

    def test_every_field_of_an_agent_class_can_be_set(self):
        schema = json.loads((CHART / "values.schema.json").read_text())
        values = set(schema["properties"]["agentClass"]["properties"]) - {"create", "name"}
        (definition,) = documents((CHART / "crds/agentclasses.longshore.dev.yaml").read_text())
        spec = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
        self.assertEqual(values, set(spec) - {"baseUrl", "credentials"})


class Transcription(unittest.TestCase):
    def variables(self, transcription):
        found = environment(render({"telegram": {"transcription": transcription}}), "longshore-bot")
        return {name.removeprefix("LONGSHORE_TRANSCRIPTION_"): value for name, value in found.items() if "TRANSCRIPTION" in name}

    def test_it_is_off_by_default(self):
        self.assertEqual(self.variables({}), {})
        self.assertEqual(environment(render({}), "longshore-bot")["LONGSHORE_GATHER_MILLISECONDS"], "1000")

    def test_a_command_is_handed_over_as_a_list(self):
        found = self.variables({"command": ["whisper-cli", "a \"b\" & c"], "timeoutSeconds": 30})
        self.assertEqual(json.loads(found.pop("COMMAND")), ["whisper-cli", "a \"b\" & c"])
        self.assertEqual(found, {"SECONDS": "30"})

    def test_the_token_of_an_endpoint_comes_from_a_secret(self):
        url = "http://whisper:8000/v1/audio/transcriptions"
        self.assertEqual(self.variables({"url": url}), {"URL": url, "MODEL": "", "SECONDS": "120"})
        found = self.variables({"url": url, "model": "small", "secretRef": {"name": "speech"}})
        self.assertEqual(found["TOKEN"], {"secretKeyRef": {"name": "speech", "key": "token"}})
        self.assertEqual(found["MODEL"], "small")


class Network(unittest.TestCase):
    def egress_ports(self, values):
        policy = named(render(values), "NetworkPolicy", "longshore-bot")
        return {port["port"] for rule in policy["spec"]["egress"] for port in rule["ports"]}

    def test_every_pod_of_ours_is_under_a_policy_that_closes_both_directions(self):
        objects = render()
        policies = of_kind(objects, "NetworkPolicy")
        for workload in of_kind(objects, "Deployment", "Job"):
            labels = workload["spec"]["template"]["metadata"]["labels"].items()
            found = [policy for policy in policies if policy["spec"]["podSelector"]["matchLabels"].items() <= labels]
            self.assertEqual([policy["spec"]["policyTypes"] for policy in found], [["Ingress", "Egress"]], workload["metadata"]["name"])

    def test_the_bot_may_call_the_port_of_its_api_url(self):
        self.assertEqual(self.egress_ports({}), {53, 443, 6443, 7411})
        self.assertEqual(self.egress_ports({"telegram": {"apiUrl": "http://telegram:8081"}}), {53, 443, 6443, 7411, 8081})
        self.assertEqual(self.egress_ports({"telegram": {"apiUrl": "http://telegram"}}), {53, 443, 6443, 7411, 80})
        transcription = {"telegram": {"transcription": {"url": "http://whisper:8000/v1/audio/transcriptions"}}}
        self.assertEqual(self.egress_ports(transcription), {53, 443, 6443, 7411, 8000})

    def test_the_service_selects_the_operator_only(self):
        objects = render()
        selector = named(objects, "Service", "longshore-operator")["spec"]["selector"].items()
        chosen = [w["metadata"]["name"] for w in of_kind(objects, "Deployment", "Job") if selector <= w["spec"]["template"]["metadata"]["labels"].items()]
        self.assertEqual(chosen, ["longshore-operator"])


class Values(unittest.TestCase):
    def test_the_chart_passes_helms_own_lint(self):
        helm("lint", "--strict", str(CHART))

    def test_every_value_is_described(self):
        lines = (CHART / "values.yaml").read_text().splitlines()
        inherited = {"requests:", "limits:", "nodeSelector:", "tolerations:", "affinity:", "resources:", "tokenSecret:", "name:", "key:", "workspace:", "persistence:", "create:", "agent:", "logging:", "telegram:", "anthropic:", "operator:", "bot:"}
        for above, line in zip([""] + lines, lines):
            word = line.strip().split(" ")[0]
            if word.endswith(":") and not line.strip().startswith("#") and word not in inherited:
                self.assertTrue(above.strip().startswith("#"), f"{word} has no comment above it")

    def test_wrong_values_are_refused(self):
        wrong = [
            ({"telegram": {"allowedUser": [1]}}, "allowedUser"),
            ({"telegram": {"allowedUsers": ["@alice"]}}, "allowedUsers"),
            ({"telegram": {"allowedUsers": [-100200300]}}, "allowedUsers"),
            ({"telegram": {"apiUrl": "api.telegram.org"}}, "apiUrl"),
            ({"telegram": {"apiUrl": "https://api.telegram.org/"}}, "apiUrl"),
            ({"telegram": {"createTopics": "yes"}}, "createTopics"),
            ({"anthropic": {"credentialsSecret": {"type": "Token"}}}, "type"),
            ({"image": {"repository": "longshore:dev"}}, "repository"),
            ({"namespaceLimits": {"maxQueued": 1}}, "maxQueued"),
            ({"watchNamespaces": ["a", "*"]}, "watchNamespaces"),
            ({"watchNamespaces": "a"}, "watchNamespaces"),
            ({"operator": {"replicas": 0}}, "replicas"),
            ({"bot": {"persistence": {"size": "much"}}}, "size"),
            ({"bot": {"replicas": 2}}, "replicas"),
            ({"agentClass": {"baseUrl": "http://x"}}, "baseUrl"),
            ({"logging": {"format": "xml"}}, "format"),
            ({"telegram": {"tokenSecret": {"name": ""}}}, "name the Secret with the bot's token"),
            ({"telegram": {"gatherMilliseconds": 60000}}, "gatherMilliseconds"),
            ({"telegram": {"transcription": {"command": "whisper"}}}, "command"),
            ({"telegram": {"transcription": {"url": "whisper:8000"}}}, "url"),
            ({"telegram": {"transcription": {"command": ["a"], "url": "http://b/c"}}}, "name one of them"),
        ]
        for values, word in wrong:
            with self.subTest(values=values), self.assertRaisesRegex(Refused, word):
                render(values)


class Notes(unittest.TestCase):
    def notes(self, values=None):
        # A client-side dry run shows the notes; there is no cluster to look Secrets up in, so all are named.
        return helm("install", "longshore", str(CHART), "--namespace", "here", "--dry-run=client", "--hide-secret", values=values).partition("NOTES:")[2]

    def test_they_say_what_to_do_next(self):
        for wanted in ("create secret generic telegram", "create secret generic anthropic", "telegram.allowedUsers={", "get topics"):
            self.assertIn(wanted, self.notes())

    def test_they_ask_for_nothing_that_is_not_used(self):
        found = self.notes({"bot": {"enabled": False}, "anthropic": {"credentialsSecret": {"name": ""}}})
        self.assertNotIn("create secret", found)


if __name__ == "__main__":
    unittest.main()
