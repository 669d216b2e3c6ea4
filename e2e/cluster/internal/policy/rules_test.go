package policy

import (
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	"sigs.k8s.io/yaml"
)

// world: two pods each in namespaces "near" and "far", and the policies given
// as YAML specs, all in "near".
func world(t *testing.T, specs ...string) World {
	t.Helper()
	pod := func(namespace, app, address string, web int32) Pod {
		return Pod{namespace, map[string]string{"app": app}, netip.MustParseAddr(address), []core.ContainerPort{{Name: "web", ContainerPort: web}}}
	}
	found := World{
		Pods: []Pod{
			pod("near", "client", "10.0.0.1", 8080), pod("near", "server", "10.0.0.2", 8081),
			pod("far", "client", "10.0.0.3", 8082), pod("far", "server", "10.0.0.4", 8083),
		},
		Namespaces: map[string]map[string]string{"near": {"name": "near"}, "far": {"name": "far"}},
	}
	for _, spec := range specs {
		policy := &networking.NetworkPolicy{}
		policy.Namespace = "near"
		if err := yaml.UnmarshalStrict([]byte(spec), &policy.Spec); err != nil {
			t.Fatal(err)
		}
		found.Policies = append(found.Policies, policy)
	}
	return found
}

const open = "everything"

// check compares what the client of "near" may do in a direction.
func check(t *testing.T, d direction, spec string, want ...string) {
	t.Helper()
	w := world(t, spec)
	got, isolated, err := w.permissions(w.Pods[0], d)
	if err != nil {
		t.Fatal(err)
	}
	if !isolated {
		got = []string{open}
	}
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%s\n got %q\nwant %q", spec, got, want)
	}
}

func TestAPolicyIsolatesOnlyWhatItSelectsInItsDirections(t *testing.T) {
	check(t, ingress, `{podSelector: {}, policyTypes: [Ingress]}`)
	check(t, egress, `{podSelector: {}, policyTypes: [Ingress]}`, open)
	check(t, ingress, `{podSelector: {}, policyTypes: [Egress]}`, open)
	check(t, egress, `{podSelector: {}, policyTypes: [Egress]}`)
	check(t, ingress, `{podSelector: {matchLabels: {app: server}}}`, open)
	// Without types: always ingress, and egress if it has such rules.
	check(t, ingress, `{podSelector: {}}`)
	check(t, egress, `{podSelector: {}}`, open)
	check(t, egress, `{podSelector: {}, egress: [{}]}`, "")
	check(t, ingress, `{podSelector: {}, egress: [{}]}`)
}

func TestPeersAreChosenByNamespaceAndLabel(t *testing.T) {
	check(t, ingress, `{podSelector: {}, ingress: [{from: [{podSelector: {}}]}]}`, "ip saddr { 10.0.0.1, 10.0.0.2 }")
	check(t, ingress, `{podSelector: {}, ingress: [{from: [{namespaceSelector: {}}]}]}`, "ip saddr { 10.0.0.1, 10.0.0.2, 10.0.0.3, 10.0.0.4 }")
	check(t, egress, `{podSelector: {}, egress: [{to: [{namespaceSelector: {matchLabels: {name: far}}, podSelector: {matchLabels: {app: server}}}]}]}`,
		"ip daddr { 10.0.0.4 }")
	check(t, egress, `{podSelector: {}, egress: [{to: [{namespaceSelector: {matchLabels: {name: far}}}, {podSelector: {matchLabels: {app: server}}}]}]}`,
		"ip daddr { 10.0.0.3, 10.0.0.4 }", "ip daddr { 10.0.0.2 }")
	check(t, egress, `{podSelector: {}, egress: [{to: [{podSelector: {matchLabels: {app: none}}}]}]}`)
	check(t, egress, `{podSelector: {}, egress: [{to: [{podSelector: {matchExpressions: [{key: app, operator: NotIn, values: [client]}]}}]}]}`,
		"ip daddr { 10.0.0.2 }")
}

func TestBlocksKeepTheirHoles(t *testing.T) {
	check(t, egress, `{podSelector: {}, egress: [{to: [{ipBlock: {cidr: 0.0.0.0/0, except: [10.0.0.0/8, 10.1.0.0/16]}}]}]}`,
		"ip daddr 0.0.0.0/0 ip daddr != 10.0.0.0/8 ip daddr != 10.1.0.0/16")
	check(t, ingress, `{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.1.2.3/8}}], ports: [{port: 80}]}]}`,
		"ip saddr 10.0.0.0/8 tcp dport 80")
	check(t, egress, `{podSelector: {}, egress: [{to: [{ipBlock: {cidr: "2001:db8::/32"}}]}]}`)
}

func TestPortsAreNumbersRangesNamesOrAll(t *testing.T) {
	check(t, ingress, `{podSelector: {}, ingress: [{ports: [{port: 53, protocol: UDP}, {port: 90, endPort: 99}, {protocol: SCTP}]}]}`,
		"udp dport 53", "tcp dport 90-99", "meta l4proto sctp")
	// Incoming: the name is one of the isolated pod. Outgoing: of each peer.
	check(t, ingress, `{podSelector: {}, ingress: [{from: [{podSelector: {}}], ports: [{port: web}]}]}`,
		"ip saddr { 10.0.0.1, 10.0.0.2 } tcp dport 8080")
	check(t, egress, `{podSelector: {}, egress: [{to: [{podSelector: {}}], ports: [{port: web}]}]}`,
		"ip daddr { 10.0.0.1 } tcp dport 8080", "ip daddr { 10.0.0.2 } tcp dport 8081")
	check(t, egress, `{podSelector: {}, egress: [{ports: [{port: web}, {port: 53}]}]}`,
		"tcp dport 53", "ip daddr { 10.0.0.1 } tcp dport 8080", "ip daddr { 10.0.0.2 } tcp dport 8081",
		"ip daddr { 10.0.0.3 } tcp dport 8082", "ip daddr { 10.0.0.4 } tcp dport 8083")
	check(t, ingress, `{podSelector: {}, ingress: [{ports: [{port: none}]}]}`)
	check(t, egress, `{podSelector: {}, egress: [{to: [{ipBlock: {cidr: 10.0.0.0/8}}], ports: [{port: web}]}]}`)
}

func TestPoliciesAddUp(t *testing.T) {
	w := world(t, `{podSelector: {}, ingress: [{ports: [{port: 80}]}]}`, `{podSelector: {matchLabels: {app: client}}, ingress: [{ports: [{port: 81}, {port: 80}]}]}`)
	for i, want := range [][]string{{"tcp dport 80", "tcp dport 81"}, {"tcp dport 80"}} {
		if got, _, err := w.permissions(w.Pods[i], ingress); err != nil || !slices.Equal(got, want) {
			t.Errorf("pod %d: %q %v, want %q", i, got, err, want)
		}
	}
}

func TestPodsWithEqualPermissionsShareAChain(t *testing.T) {
	ruleset, err := world(t, `{podSelector: {}, policyTypes: [Ingress, Egress]}`).Ruleset()
	if err != nil {
		t.Fatal(err)
	}
	if chains := strings.Count(ruleset, "chain from_"); chains != 1 || strings.Count(ruleset, ": jump from_") != 2 {
		t.Errorf("%d chains for two pods:\n%s", chains, ruleset)
	}
}

func TestTheRulesetIsTheSameForTheSameWorld(t *testing.T) {
	const spec = `{podSelector: {}, egress: [{to: [{namespaceSelector: {}}], ports: [{port: web}]}]}`
	first, err := world(t, spec).Ruleset()
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		if again, _ := world(t, spec).Ruleset(); again != first {
			t.Fatal("two renderings differ, so the kernel would be loaded for nothing")
		}
	}
}

// The kernel's own parser judges every form of rule; -c changes nothing.
func TestNftablesTakesTheRuleset(t *testing.T) {
	if _, err := exec.LookPath("nft"); err != nil || os.Getuid() != 0 {
		t.Skip("needs nft and root")
	}
	empty := World{}
	for _, w := range []World{empty, world(t), world(t,
		`{podSelector: {}, ingress: [{from: [{podSelector: {}}, {ipBlock: {cidr: 0.0.0.0/0, except: [10.0.0.0/8, 10.1.0.0/16]}}], ports: [{port: web}, {port: 90, endPort: 99}, {protocol: UDP}]}]}`,
		`{podSelector: {}, egress: [{}, {to: [{namespaceSelector: {}}], ports: [{port: web, protocol: TCP}, {port: 7, protocol: SCTP}]}]}`)} {
		ruleset, err := w.Ruleset()
		if err != nil {
			t.Fatal(err)
		}
		command := exec.Command("nft", "-c", "-f", "-")
		command.Stdin = strings.NewReader(ruleset)
		if out, err := command.CombinedOutput(); err != nil {
			t.Errorf("%v: %s\n%s", err, out, ruleset)
		}
	}
}
