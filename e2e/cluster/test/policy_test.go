//go:build cluster

package test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// reach tells whether a pod gets a TCP connection.
func reach(namespace, from, address, port string) bool {
	_, err := tryKubectl("-n", namespace, "exec", from, "--", "nc", "-w", "3", address, port)
	return err == nil
}

func address(t *testing.T, namespace, pod string) string {
	t.Helper()
	return kubectl(t, "-n", namespace, "get", "pod", pod, "-o", "jsonpath={.status.podIP}")
}

func policy(namespace, name, spec string) string {
	return fmt.Sprintf("---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: %s, namespace: %s}\nspec: %s\n", name, namespace, spec)
}

// Every case is one policy in namespace "near", where the client lives; the
// servers are pods of "near" and "far", the node, the API server, and what
// stands at the metadata address of clouds.
func TestPoliciesAllowAndDenyAsTheySay(t *testing.T) {
	up(t)
	namespace(t, "near")
	namespace(t, "far")
	serve := "httpd -f -p 8080 & httpd -f -p 9090"
	apply(t, pod("near", "client", "sleep 10000", noVolume)+pod("near", "server", serve, noVolume)+
		pod("near", "other", serve, noVolume)+pod("far", "server", serve, noVolume))
	for _, one := range [][2]string{{"near", "client"}, {"near", "server"}, {"near", "other"}, {"far", "server"}} {
		awaitReady(t, one[0], one[1])
	}
	near, other, far := address(t, "near", "server"), address(t, "near", "other"), address(t, "far", "server")
	const node, service, open = "10.201.0.1", "10.203.0.1", "open"
	targets := map[string][2]string{
		"near:8080": {near, "8080"}, "near:9090": {near, "9090"},
		"other:8080": {other, "8080"}, "far:8080": {far, "8080"}, "far:9090": {far, "9090"},
		"node": {node, "6443"}, "api": {service, "443"}, "dns": {"10.203.0.10", "53"}, "metadata": {"169.254.169.254", "80"},
	}
	everything := []string{"near:8080", "near:9090", "other:8080", "far:8080", "far:9090", "node", "api", "dns", "metadata"}
	client := "podSelector: {matchLabels: {app: client}}"
	server := "podSelector: {matchLabels: {app: server}}"
	cases := []struct {
		name, spec string
		reached    []string
	}{
		{open, "", everything},
		{"nothing goes out", "{" + client + ", policyTypes: [Egress]}", nil},
		{"nothing goes in to one server", "{" + server + ", policyTypes: [Ingress]}",
			without(everything, "near:8080", "near:9090")},
		{"in from the client, one port by number", "{" + server + ", ingress: [{from: [{" + client + "}], ports: [{port: 8080}]}]}",
			without(everything, "near:9090")},
		{"in from the client, one port by name", "{" + server + ", ingress: [{from: [{" + client + "}], ports: [{port: web}]}]}",
			without(everything, "near:9090")},
		{"in from another pod only", "{" + server + ", ingress: [{from: [{podSelector: {matchLabels: {app: other}}}]}]}",
			without(everything, "near:8080", "near:9090")},
		{"in from another namespace only", "{" + server + ", ingress: [{from: [{namespaceSelector: {matchLabels: {name: far}}}]}]}",
			without(everything, "near:8080", "near:9090")},
		{"out to a pod by label", "{" + client + ", policyTypes: [Egress], egress: [{to: [{" + server + "}]}]}",
			[]string{"near:8080", "near:9090"}},
		{"out to a namespace, a port by name", "{" + client + ", policyTypes: [Egress], egress: [{to: [{namespaceSelector: {matchLabels: {name: far}}}], ports: [{port: web}]}]}",
			[]string{"far:8080"}},
		{"out to a pod of a namespace", "{" + client + ", policyTypes: [Egress], egress: [{to: [{namespaceSelector: {matchLabels: {name: near}}, podSelector: {matchLabels: {app: other}}}]}]}",
			[]string{"other:8080"}},
		{"out to DNS alone", "{" + client + ", policyTypes: [Egress], egress: [{to: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: kube-system}}, podSelector: {matchLabels: {k8s-app: kube-dns}}}], ports: [{port: 53, protocol: TCP}, {port: 53, protocol: UDP}]}]}",
			[]string{"dns"}},
		{"out to everything but one pod", "{" + client + ", policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 0.0.0.0/0, except: [" + far + "/32]}}]}]}",
			without(everything, "far:8080", "far:9090")},
		{"out to public addresses", "{" + client + ", policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 0.0.0.0/0, except: [10.0.0.0/8, 169.254.0.0/16]}}]}]}",
			nil},
		{"out to private addresses, too, but not to the metadata", "{" + client + ", policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 0.0.0.0/0, except: [169.254.169.254/32]}}]}]}",
			without(everything, "metadata")},
		{"out to a range of ports", "{" + client + ", policyTypes: [Egress], egress: [{ports: [{port: 9000, endPort: 9999}]}]}",
			[]string{"near:9090", "far:9090"}},
		{"out to the node", "{" + client + ", policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 10.201.0.1/32}}], ports: [{port: 6443}]}]}",
			[]string{"node", "api"}},
	}
	for _, one := range cases {
		t.Run(one.name, func(t *testing.T) {
			if one.spec != "" {
				apply(t, policy("near", "tested", one.spec))
				defer kubectl(t, "-n", "near", "delete", "networkpolicy", "tested")
			}
			measure := func() []string {
				var reached []string
				for name, target := range targets {
					if reach("near", "client", target[0], target[1]) {
						reached = append(reached, name)
					}
				}
				slices.Sort(reached)
				return reached
			}
			want := slices.Sorted(slices.Values(one.reached))
			var last []string
			// A policy takes some milliseconds; one that is wrong stays wrong.
			for end := time.Now().Add(20 * time.Second); time.Now().Before(end); {
				if last = measure(); slices.Equal(last, want) {
					return
				}
			}
			t.Errorf("reached %v\n   want %v", last, want)
		})
	}
}

func without(all []string, some ...string) []string {
	return slices.DeleteFunc(slices.Clone(all), func(one string) bool { return slices.Contains(some, one) })
}

// Pods try to connect from their first instruction on, for a second. Under a
// policy not one attempt may pass; without one, attempts do pass, so that the
// test could fail.
func TestANewPodSendsNothingBeforeItsPolicyStands(t *testing.T) {
	up(t)
	namespace(t, "early")
	apply(t, pod("early", "server", "httpd -f -p 8080", noVolume))
	awaitReady(t, "early", "server")
	try := fmt.Sprintf("end=$(($(date +%%s) + 2)); tried=0; passed=0; while [ $(date +%%s) -lt $end ]; do tried=$((tried + 1)); nc -w 1 %s 8080 </dev/null >/dev/null 2>&1 && passed=$((passed + 1)); done; echo tried $tried passed $passed",
		address(t, "early", "server"))
	const pods = 8
	round := func(name string) (tried, passed int) {
		var manifests strings.Builder
		for i := range pods {
			manifests.WriteString(strings.Replace(pod("early", fmt.Sprintf("%s-%d", name, i), try, noVolume), "labels: {", "labels: {group: "+name+", ", 1))
		}
		apply(t, manifests.String())
		kubectl(t, "-n", "early", "wait", "pod", "-l", "group="+name, "--for=jsonpath={.status.phase}=Succeeded", "--timeout=120s")
		for i := range pods {
			var a, b int
			out := kubectl(t, "-n", "early", "logs", fmt.Sprintf("%s-%d", name, i))
			if _, err := fmt.Sscanf(out, "tried %d passed %d", &a, &b); err != nil || a == 0 {
				t.Fatalf("a pod says %q", out)
			}
			tried, passed = tried+a, passed+b
		}
		return tried, passed
	}
	tried, passed := round("free")
	t.Logf("without a policy: %d of %d connections of %d new pods passed", passed, tried, pods)
	if passed < tried*9/10 {
		t.Errorf("without a policy only %d of %d connections passed", passed, tried)
	}
	// Policy and pods in one go: the pods come right behind it.
	apply(t, policy("early", "nothing", "{podSelector: {}, policyTypes: [Egress]}"))
	tried, passed = round("held")
	t.Logf("MEASURED window between a pod's first packet and its policy: %d of %d connections of %d new pods passed", passed, tried, pods)
	if passed > 0 {
		t.Errorf("%d of %d connections passed before the policy stood", passed, tried)
	}
	t.Logf("MEASURED wait of a new pod for its rules: %s", attachTimes(t))
}

func attachTimes(t *testing.T) string {
	var times []time.Duration
	for _, match := range regexp.MustCompile(`msg="pod attached".* took=(\S+)`).FindAllStringSubmatch(read(t, "log/policy.log"), -1) {
		took, err := time.ParseDuration(match[1])
		if err != nil {
			t.Fatal(err)
		}
		times = append(times, took)
	}
	if len(times) == 0 {
		t.Fatal("no pod was attached")
	}
	slices.Sort(times)
	return fmt.Sprintf("median %s, longest %s of %d", times[len(times)/2].Round(time.Millisecond), times[len(times)-1].Round(time.Millisecond), len(times))
}

func TestAPolicyEndsWhatIsRunning(t *testing.T) {
	up(t)
	namespace(t, "cut")
	apply(t, pod("cut", "server", "httpd -f -p 8080", noVolume))
	awaitReady(t, "cut", "server")
	ip := address(t, "cut", "server")
	apply(t, pod("cut", "client", fmt.Sprintf("while :; do date +%%s.%%N; nc -w 1 %s 8080 </dev/null && echo passed || echo refused; done", ip), noVolume))
	eventually(t, "connections pass", func() bool { return strings.HasSuffix(tail("cut", "client"), "passed") })
	started := time.Now()
	apply(t, policy("cut", "nothing", "{podSelector: {matchLabels: {app: client}}, policyTypes: [Egress]}"))
	eventually(t, "connections are refused", func() bool { return strings.HasSuffix(tail("cut", "client"), "refused") })
	t.Logf("MEASURED apply of a policy until a running pod is seen refused: %s, kubectl included", time.Since(started).Round(time.Millisecond))
}

func tail(namespace, pod string) string {
	out, _ := tryKubectl("-n", namespace, "logs", pod, "--tail=2")
	found := lines(out)
	for _, line := range slices.Backward(found) {
		if line == "passed" || line == "refused" {
			return line
		}
	}
	return ""
}
