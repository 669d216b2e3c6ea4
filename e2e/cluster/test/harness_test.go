//go:build cluster

// Package test runs the cluster program as its users do, on a state directory
// of its own: `make test-cluster`. Needs root and the packages of
// install-deps.sh. CLUSTER_PROGRAM names another build to test.
package test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// generous is the deadline of everything that should take seconds.
const generous = 3 * time.Minute

const busybox = "localhost/longshore/busybox:1"

var (
	program = fromRoot("CLUSTER_PROGRAM", "target/bin/cluster")
	state   = fromRoot("CLUSTER_STATE", "target/test/cluster-alone")
	before  = state + "-before.json"
)

func fromRoot(variable, path string) string {
	if given := os.Getenv(variable); given != "" {
		return given
	}
	absolute, err := filepath.Abs(filepath.Join("../../..", path))
	if err != nil {
		panic(err)
	}
	return absolute
}

// TestMain looks at the machine before and after: whatever the tests did, a
// purge has to leave it as it was.
func TestMain(m *testing.M) {
	os.Exit(func() int {
		if out, err := try("down", "--purge"); err != nil {
			fmt.Println("clearing away an earlier run:", err, out)
			return 1
		}
		if err := os.MkdirAll(filepath.Dir(state), 0o755); err != nil {
			fmt.Println(err)
			return 1
		}
		snapshot, err := exec.Command(program, "leftovers", "snapshot").Output()
		if err == nil {
			err = os.WriteFile(before, snapshot, 0o644)
		}
		if err != nil {
			fmt.Println("looking at the machine before the tests:", err)
			return 1
		}
		code := m.Run()
		if out, err := try("down", "--purge"); err != nil {
			fmt.Println("down --purge:", err, out)
			return 1
		}
		if found := settled(); found != "" {
			fmt.Println("left on the machine after all:\n" + found)
			code = 1
		}
		if _, err := os.Stat(state); err == nil {
			fmt.Println("down --purge has left", state)
			code = 1
		}
		os.Remove(before)
		return code
	}())
}

func leftovers() string {
	out, _ := exec.Command(program, "leftovers", "diff", before).CombinedOutput()
	return string(out)
}

// settled is leftovers after a while: somebody else's cluster may be coming
// down at this moment.
func settled() string {
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(200 * time.Millisecond) {
		if found := leftovers(); found == "" || time.Now().After(end) {
			return found
		}
	}
}

// try runs one command of the program on our state.
func try(verb string, args ...string) (string, error) {
	return run(program, append([]string{verb, "--state", state}, args...)...)
}

func cluster(t *testing.T, verb string, args ...string) string {
	t.Helper()
	out, err := try(verb, args...)
	if err != nil {
		t.Fatalf("cluster %s: %v\n%s", verb, err, out)
	}
	return out
}

// up makes sure that the cluster runs, as every test has to.
func up(t *testing.T) string {
	t.Helper()
	return cluster(t, "up")
}

func tryKubectl(args ...string) (string, error) {
	return run(filepath.Join(state, "bin/kubectl"), append([]string{"--kubeconfig", filepath.Join(state, "kubeconfig")}, args...)...)
}

func kubectl(t *testing.T, args ...string) string {
	t.Helper()
	out, err := tryKubectl(args...)
	if err != nil {
		t.Fatalf("kubectl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

func run(name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), generous)
	defer cancel()
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	return string(out), err
}

func apply(t *testing.T, manifests string) {
	t.Helper()
	file, err := os.CreateTemp("", "manifests-*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	defer os.Remove(file.Name())
	if _, err := file.WriteString(manifests); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	kubectl(t, "apply", "-f", file.Name())
}

// namespace makes one under the restricted Pod Security Standard and removes
// it, with everything in it, when the test is done.
func namespace(t *testing.T, name string) {
	t.Helper()
	kubectl(t, "create", "namespace", name)
	kubectl(t, "label", "namespace", name, "pod-security.kubernetes.io/enforce=restricted", "name="+name)
	t.Cleanup(func() {
		if t.Failed() {
			out, _ := tryKubectl("-n", name, "get", "pods,pvc,events", "-o", "wide")
			t.Log(out)
		}
		// The next test may find the cluster killed; then it went with it.
		if out, err := tryKubectl("delete", "namespace", name, "--ignore-not-found"); err != nil {
			t.Error("removing namespace", name, err, out)
		}
	})
}

// pod is a manifest that the restricted standard accepts, running a shell
// command. extra is put under spec, indented by two.
func pod(namespace, name, command, extra string) string {
	return fmt.Sprintf(`---
apiVersion: v1
kind: Pod
metadata: {name: %[2]s, namespace: %[1]s, labels: {app: %[2]s}}
spec:
  restartPolicy: Never
  automountServiceAccountToken: false
  terminationGracePeriodSeconds: 0
  securityContext: {runAsNonRoot: true, runAsUser: 1000, fsGroup: 2000, seccompProfile: {type: RuntimeDefault}}
%[4]s
  containers:
  - name: main
    image: %[5]s
    command: [sh, -c, %[3]q]
    ports: [{name: web, containerPort: 8080}]
    securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
    volumeMounts: [{name: data, mountPath: /data}]
`, namespace, name, command, extra, busybox)
}

const noVolume = "  volumes: [{name: data, emptyDir: {}}]"

func volume(claim string) string {
	return fmt.Sprintf("  volumes: [{name: data, persistentVolumeClaim: {claimName: %s}}]", claim)
}

func awaitReady(t *testing.T, namespace, name string) {
	t.Helper()
	kubectl(t, "-n", namespace, "wait", "pod/"+name, "--for=condition=Ready", "--timeout=120s")
}

// eventually repeats a check until it holds.
func eventually(t *testing.T, what string, check func() bool) {
	t.Helper()
	for end := time.Now().Add(generous); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if check() {
			return
		}
	}
	t.Fatalf("not within %s: %s", generous, what)
}

func lines(text string) []string {
	var found []string
	for _, line := range bytes.Split([]byte(text), []byte("\n")) {
		if len(bytes.TrimSpace(line)) > 0 {
			found = append(found, string(line))
		}
	}
	return found
}
