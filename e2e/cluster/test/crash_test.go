//go:build cluster

package test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

func TestEveryKilledComponentIsStartedAgainAndPodsStay(t *testing.T) {
	up(t)
	namespace(t, "killed")
	apply(t, pod("killed", "stays", "httpd -f -p 8080", noVolume))
	awaitReady(t, "killed", "stays")
	for name, child := range children(t) {
		cluster(t, "exec", "--", "kill", "-9", strconv.Itoa(child.PID))
		eventually(t, name+" runs again", func() bool {
			again := children(t)[name]
			return again.PID != 0 && again.Restarts > child.Restarts
		})
	}
	eventually(t, "the cluster is healthy again", func() bool {
		_, err := try("status")
		return err == nil
	})
	apply(t, pod("killed", "new", "httpd -f -p 8080", noVolume))
	awaitReady(t, "killed", "new")
	if count := kubectl(t, "-n", "killed", "get", "pod", "stays", "-o", "jsonpath={.status.containerStatuses[0].restartCount}"); count != "0" {
		t.Errorf("the running pod was restarted %s times", count)
	}
}

func TestAKilledClusterLeavesNothingAndUpRepairsIt(t *testing.T) {
	up(t)
	namespace(t, "repaired")
	apply(t, claim("repaired", "data")+strings.Replace(
		pod("repaired", "counting", "date >> /data/starts; sleep 1000", volume("data")), "restartPolicy: Never", "restartPolicy: Always", 1))
	awaitReady(t, "repaired", "counting")
	pid, err := strconv.Atoi(read(t, "run/init.pid"))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "everything of the cluster is gone", func() bool { return visible() == "" })
	if out, err := try("status"); err == nil || !strings.HasPrefix(out, "not running") {
		t.Errorf("the status of a killed cluster: %v %s", err, out)
	}
	t.Log("\n" + up(t))
	name := kubectl(t, "-n", "repaired", "get", "pvc", "data", "-o", "jsonpath={.spec.volumeName}")
	eventually(t, "the pod has started a second time on its volume", func() bool {
		body, err := os.ReadFile(filepath.Join(state, "volumes", name, "starts"))
		return err == nil && len(lines(string(body))) == 2
	})
	awaitReady(t, "repaired", "counting")
}

func TestAKilledSupervisorTakesTheClusterWithIt(t *testing.T) {
	up(t)
	pid := supervisor(t, read(t, "run/init.pid"))
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "everything of the cluster is gone", func() bool { return visible() == "" })
}

func TestDownLeavesNothingButImages(t *testing.T) {
	up(t)
	cluster(t, "down")
	if found := settled(); found != "" {
		t.Error("left on the machine:\n" + found)
	}
	entries, err := os.ReadDir(state)
	if err != nil || len(entries) != 1 || entries[0].Name() != "containerd" {
		t.Errorf("down leaves %v (%v), want containerd alone", entries, err)
	}
	// Kept images must not bring the old cluster's pods with them.
	up(t)
	eventually(t, "CoreDNS is the only pod", func() bool {
		out, err := tryKubectl("get", "pods", "-A", "-o", "name")
		return err == nil && len(lines(out)) == 1
	})
	cluster(t, "down", "--purge")
	cluster(t, "down")
}

// supervisor finds the child of init that looks after the others.
func supervisor(t *testing.T, init string) int {
	t.Helper()
	tasks, err := filepath.Glob("/proc/" + init + "/task/*/children")
	if err != nil {
		t.Fatal(err)
	}
	for _, task := range tasks {
		children, err := os.ReadFile(task)
		if err != nil {
			t.Fatal(err)
		}
		for _, child := range strings.Fields(string(children)) {
			line, err := os.ReadFile("/proc/" + child + "/cmdline")
			if err == nil && strings.Contains(string(line), "\x00supervise\x00") {
				pid, err := strconv.Atoi(child)
				if err != nil {
					t.Fatal(err)
				}
				return pid
			}
		}
	}
	t.Fatalf("init %s has no supervisor", init)
	return 0
}

// visible lists what of a dead cluster can be seen on the machine. Empty
// control groups stay until the next up or down.
func visible() string {
	var found []string
	for _, line := range lines(leftovers()) {
		if !strings.HasPrefix(line, "control group:") {
			found = append(found, line)
		}
	}
	return strings.Join(found, "\n")
}

type child struct {
	Name          string
	PID, Restarts int
}

func children(t *testing.T) map[string]child {
	t.Helper()
	var list []child
	if err := json.Unmarshal([]byte(read(t, "run/children.json")), &list); err != nil {
		t.Fatal(err)
	}
	found := map[string]child{}
	for _, one := range list {
		found[one.Name] = one
	}
	return found
}
