package plane

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"longshore.dev/cluster/internal/layout"
)

var state = layout.State{Dir: "/some/state"}

func TestEveryFileRendersToItsOwnFormat(t *testing.T) {
	rendered, err := Render(state, true)
	if err != nil {
		t.Fatal(err)
	}
	for name, body := range rendered {
		var parsed map[string]any
		switch {
		case strings.HasSuffix(name, ".yaml"):
			err = yaml.UnmarshalStrict(body, &parsed)
		case strings.HasSuffix(name, ".conflist"):
			err = json.Unmarshal(body, &parsed)
		}
		if err != nil {
			t.Errorf("%s: %v\n%s", name, err, body)
		}
	}
}

func TestTheKubeletRefusesCgroupV1OnlyWhereItIsNotUsed(t *testing.T) {
	for _, v1 := range []bool{true, false} {
		rendered, err := Render(state, v1)
		if err != nil {
			t.Fatal(err)
		}
		var config struct{ FailCgroupV1 bool }
		if err := yaml.Unmarshal(rendered["kubelet.yaml"], &config); err != nil {
			t.Fatal(err)
		}
		if config.FailCgroupV1 == v1 {
			t.Errorf("with cgroup v1 = %t the kubelet has failCgroupV1 = %t", v1, config.FailCgroupV1)
		}
	}
}

func TestTheAPIServerChecksNodesRolesAndAudits(t *testing.T) {
	args := APIServer(state).Args
	for flag, value := range map[string]string{
		"--authorization-mode":       "Node,RBAC",
		"--enable-admission-plugins": "NodeRestriction",
		"--audit-log-path":           "/some/state/audit.log",
	} {
		at := slices.Index(args, flag)
		if at < 0 || args[at+1] != value {
			t.Errorf("%s is not %s in %v", flag, value, args)
		}
	}
}

func TestTwoStatesShareNoFileAndNoCgroup(t *testing.T) {
	other := layout.State{Dir: "/other/state"}
	if state.CgroupName() == other.CgroupName() {
		t.Fatal("two states have one cgroup")
	}
	for _, child := range append(Storage(other), append(Controllers(other), APIServer(other))...) {
		if strings.Contains(strings.Join(child.Args, " "), state.Dir) {
			t.Errorf("%s of one state names the other", child.Name)
		}
	}
}
