//go:build cluster

package test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"longshore.dev/cluster/internal/image"
)

func TestASecondUpDoesNothing(t *testing.T) {
	t.Log("\n" + up(t))
	pid := read(t, "run/init.pid")
	started := time.Now()
	up(t)
	if took := time.Since(started); took > 5*time.Second {
		t.Errorf("the second up took %s", took)
	}
	if read(t, "run/init.pid") != pid {
		t.Error("the second up has started the cluster anew")
	}
	t.Log("\n" + cluster(t, "status"))
	if info, err := os.Stat(filepath.Join(state, "kubeconfig")); err != nil || info.Mode().Perm() != 0o600 {
		t.Error("the kubeconfig is not for its owner alone:", info.Mode(), err)
	}
}

func TestANonRootPodUnderTheRestrictedStandardWritesToItsVolume(t *testing.T) {
	up(t)
	namespace(t, "volume")
	apply(t, claim("volume", "data")+pod("volume", "writer", "id > /data/who && cat /data/who; sleep 1000", volume("data")))
	awaitReady(t, "volume", "writer")
	eventually(t, "the pod says who it is", func() bool {
		out, _ := tryKubectl("-n", "volume", "logs", "writer")
		return strings.Contains(out, "uid=1000")
	})
	name := kubectl(t, "-n", "volume", "get", "pvc", "data", "-o", "jsonpath={.spec.volumeName}")
	dir := filepath.Join(state, "volumes", name)
	if _, err := os.Stat(filepath.Join(dir, "who")); err != nil {
		t.Error("the file is not on the volume:", err)
	}
	kubectl(t, "-n", "volume", "delete", "pod/writer", "pvc/data")
	eventually(t, "the volume's directory is removed with its claim", func() bool {
		_, err := os.Stat(dir)
		return os.IsNotExist(err)
	})
}

func TestARootPodIsRefusedUnderTheRestrictedStandard(t *testing.T) {
	up(t)
	namespace(t, "refused")
	out, err := tryKubectl("-n", "refused", "run", "root", "--image="+busybox, "--", "sleep", "1000")
	if err == nil || !strings.Contains(out, "violates PodSecurity") {
		t.Errorf("the pod was not refused: %v %s", err, out)
	}
}

func TestDNSKnowsServicesAndNothingOutside(t *testing.T) {
	up(t)
	namespace(t, "names")
	apply(t, pod("names", "web", "httpd -f -p 8080", noVolume)+pod("names", "asking", "sleep 1000", noVolume))
	kubectl(t, "-n", "names", "expose", "pod", "web", "--port=80", "--target-port=8080")
	awaitReady(t, "names", "web")
	awaitReady(t, "names", "asking")
	service := kubectl(t, "-n", "names", "get", "service", "web", "-o", "jsonpath={.spec.clusterIP}")
	eventually(t, "DNS gives the service's address", func() bool {
		out, _ := tryKubectl("-n", "names", "exec", "asking", "--", "nslookup", "web.names.svc.cluster.local")
		return strings.Contains(out, service)
	})
	eventually(t, "the service leads to the pod", func() bool {
		_, err := tryKubectl("-n", "names", "exec", "asking", "--", "nc", "-w", "3", service, "80")
		return err == nil
	})
	out, err := tryKubectl("-n", "names", "exec", "asking", "--", "nslookup", "example.com.")
	if err == nil || !strings.Contains(out, "NXDOMAIN") {
		t.Errorf("a name from outside is not NXDOMAIN: %v %s", err, out)
	}
	if out, err := tryKubectl("-n", "names", "exec", "asking", "--", "ip", "route"); err != nil || !strings.Contains(out, "default via") {
		t.Errorf("a pod has no default route: %v %s", err, out)
	}
}

func TestTheAuditLogHasWritesAndNoReads(t *testing.T) {
	up(t)
	namespace(t, "audited")
	kubectl(t, "-n", "audited", "create", "configmap", "written", "--from-literal=a=b")
	kubectl(t, "-n", "audited", "get", "configmap", "written")
	var found []string
	for _, line := range lines(read(t, "audit.log")) {
		var event struct {
			Verb, UserAgent string
			User            struct{ Username string }
			ObjectRef       struct{ Resource, Namespace, Name string }
			RequestObject   any
		}
		if err := json.Unmarshal([]byte(line), &event); err != nil {
			t.Fatalf("a line of the audit log is no JSON: %v\n%s", err, line)
		}
		if event.Verb == "get" || event.Verb == "list" || event.Verb == "watch" || event.RequestObject != nil {
			t.Fatalf("the audit log has a read or a body: %s", line)
		}
		if event.ObjectRef.Resource == "configmaps" && event.ObjectRef.Namespace == "audited" && event.ObjectRef.Name == "written" {
			found = append(found, event.Verb+" by "+event.User.Username)
			if !strings.Contains(event.UserAgent, "kubectl") {
				t.Errorf("the user agent is %q", event.UserAgent)
			}
		}
	}
	if len(found) != 1 || found[0] != "create by admin" {
		t.Errorf("the audit log has %v, want one create by admin", found)
	}
}

func TestANodeCannotReadSecretsAndADefaultAccountNothing(t *testing.T) {
	up(t)
	kubelet := filepath.Join(state, "conf/kubelet.kubeconfig")
	out, err := try("exec", "--", filepath.Join(state, "bin/kubectl"), "--kubeconfig", kubelet, "get", "secrets", "-A")
	if err == nil || !strings.Contains(out, "Forbidden") {
		t.Errorf("the node's credential lists secrets: %v %s", err, out)
	}
	out, err = try("exec", "--", filepath.Join(state, "bin/kubectl"), "--kubeconfig", kubelet, "label", "node", "node", "node-restriction.kubernetes.io/x=y")
	if err == nil || !strings.Contains(out, "is not allowed to modify labels") {
		t.Errorf("the node labels itself: %v %s", err, out)
	}
	out, err = tryKubectl("auth", "can-i", "list", "pods", "--as=system:serviceaccount:default:default")
	if err == nil || strings.TrimSpace(out) != "no" {
		t.Errorf("the default service account may list pods: %v %s", err, out)
	}
}

func TestAnImageIsLoadedOnce(t *testing.T) {
	up(t)
	archive := filepath.Join(t.TempDir(), "image.tar")
	if err := image.WriteBusybox(archive, "localhost/longshore/another:1"); err != nil {
		t.Fatal(err)
	}
	if out := cluster(t, "load-image", archive); !strings.Contains(out, "localhost/longshore/another:1") || !strings.Contains(out, ": loaded") {
		t.Errorf("the first load says %s", out)
	}
	if out := cluster(t, "load-image", archive); strings.Contains(out, ": loaded") || strings.Count(out, "already there") != 2 {
		t.Errorf("the second load says %s", out)
	}
	notOne := filepath.Join(t.TempDir(), "not.tar")
	if err := os.WriteFile(notOne, []byte("no archive"), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := try("load-image", notOne); err == nil {
		t.Errorf("something that is no archive was loaded: %s", out)
	}
}

func claim(namespace, name string) string {
	return `---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: ` + name + `, namespace: ` + namespace + `}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
`
}

func read(t *testing.T, name string) string {
	t.Helper()
	body, err := os.ReadFile(filepath.Join(state, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}
