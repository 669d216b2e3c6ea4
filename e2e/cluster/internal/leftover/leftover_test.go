package leftover

import (
	"os"
	"slices"
	"testing"
)

func TestOnlyWhatIsNewIsLeftOver(t *testing.T) {
	before := Snapshot{"mount": {"/"}, "network interface": {"lo", "eth0"}}
	now := Snapshot{"mount": {"/", "/left"}, "network interface": {"lo"}, "process": {"7 etcd"}}
	want := []string{"mount: /left", "process: 7 etcd"}
	if found := Since(before, now); !slices.Equal(found, want) {
		t.Errorf("got %v, want %v", found, want)
	}
}

func TestTheNameOfAProcessMayHaveParentheses(t *testing.T) {
	name, state, parent := parseStat("12 (a (b) c) S 7 12 12 0")
	if name != "a (b) c" || state != "S" || parent != 7 {
		t.Errorf("got %q %q %d", name, state, parent)
	}
}

func TestAMountIsNamedByPointTypeAndSource(t *testing.T) {
	line := "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue"
	if got := mountPoint(line); got != "/mnt2 (ext3 from /dev/root)" {
		t.Errorf("got %q", got)
	}
}

func TestARunningClusterIsOneThingAndItsOrphansAreNot(t *testing.T) {
	all := []process{
		{pid: 10, parent: 1, name: "cluster", args: []string{"/s/bin/cluster", "init", "--state", "/s"}},
		{pid: 11, parent: 10, name: "cluster"},
		{pid: 12, parent: 11, name: "etcd"},
		{pid: 20, parent: 1, name: "etcd", args: []string{"etcd", "--x"}},
	}
	below, dirs := liveClusters(all)
	if !slices.Equal(dirs, []string{"/s"}) || !below[12] || below[20] {
		t.Fatalf("got %v %v", below, dirs)
	}
	if found := ours(all, below, nil); !slices.Equal(found, []string{"20 etcd --x"}) {
		t.Errorf("left over: %v", found)
	}
}

func TestProgramsOfTheFolderAreLeftOverAndShellsInItAreNot(t *testing.T) {
	own, _ := os.Readlink("/proc/self/ns/pid")
	all := []process{
		{pid: 20, parent: 15, args: []string{"claude"}, program: "/src/target/claude/claude"},
		{pid: 21, parent: 15, args: []string{"bot"}, program: "/src/target/debug/bot (deleted)"},
		{pid: 22, parent: 1, args: []string{"orphan"}, program: "/bin/sleep", workingDir: "/src"},
		{pid: 23, parent: 1, args: []string{"deep-orphan"}, program: "/bin/sleep", workingDir: "/src/target"},
		{pid: 24, parent: 15, args: []string{"shell"}, program: "/bin/bash", workingDir: "/src"},
		{pid: 25, parent: 1, args: []string{"neighbour"}, program: "/src2/bin/bot", workingDir: "/src2"},
		{pid: 26, parent: 10, args: []string{"inside"}, program: "/src/target/cluster/bin/cluster"},
	}
	for i := range all {
		all[i].pidNS = own
	}
	want := []string{"20 claude", "21 bot", "22 orphan", "23 deep-orphan"}
	for _, folder := range []string{"/src", "/src/"} {
		if found := ours(all, map[int]bool{26: true}, []string{"/else", folder}); !slices.Equal(found, want) {
			t.Errorf("got %v, want %v", found, want)
		}
	}
}
