// Package leftover owns the question whether a cluster left anything on the
// machine. It looks at the machine as a whole and knows no state directory, so
// that it also finds what a cluster forgot about.
package leftover

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"longshore.dev/cluster/internal/isolation"
	"longshore.dev/cluster/internal/layout"
)

// Snapshot lists by kind what clusters make. A cluster that runs is one thing,
// by its state directory, and not all that belongs to it.
type Snapshot map[string][]string

// Take looks at the machine. Programs that lie in one of the folders, and
// orphans that work there, count as left by a cluster too: they are what tests
// have started.
func Take(folders []string) (Snapshot, error) {
	processes, err := readProcesses()
	if err != nil {
		return nil, err
	}
	foreign, clusters := liveClusters(processes)
	snapshot := Snapshot{"process": ours(processes, foreign, folders), "running cluster": clusters}
	if snapshot["network namespace"], err = networkNamespaces(processes, foreign); err != nil {
		return nil, err
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	for _, line := range strings.Split(strings.TrimSpace(string(mounts)), "\n") {
		snapshot["mount"] = append(snapshot["mount"], mountPoint(line))
	}
	links, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	for _, link := range links {
		snapshot["network interface"] = append(snapshot["network interface"], link.Name)
	}
	if snapshot["packet filter rule"], err = packetFilter(); err != nil {
		return nil, err
	}
	if snapshot["control group"], err = controlGroups(clusters); err != nil {
		return nil, err
	}
	return snapshot, nil
}

// Since lists what is in now and was not in before, as "kind: thing".
func Since(before, now Snapshot) []string {
	var found []string
	for kind, things := range now {
		for _, thing := range things {
			if !slices.Contains(before[kind], thing) {
				found = append(found, kind+": "+thing)
			}
		}
	}
	slices.Sort(found)
	return found
}

// mountPoint gives mount point, type and source of a line of mountinfo(5).
func mountPoint(line string) string {
	fields := strings.Fields(line)
	dash := slices.Index(fields, "-")
	if dash < 5 || len(fields) < dash+3 {
		return line
	}
	return fmt.Sprintf("%s (%s from %s)", fields[4], fields[dash+1], fields[dash+2])
}

// packetFilter lists nftables tables and iptables rules. Debian's iptables is
// a front for nftables, so its rules show there.
func packetFilter() ([]string, error) {
	nft, err := exec.LookPath("nft")
	if err != nil {
		return nil, nil // what was never installed left nothing
	}
	out, err := exec.Command(nft, "list", "ruleset").Output()
	if err != nil {
		return nil, fmt.Errorf("listing packet filter rules: %w", err)
	}
	var lines []string
	for _, line := range strings.Split(string(out), "\n") {
		if line = strings.TrimSpace(line); line != "" && line != "}" {
			lines = append(lines, line)
		}
	}
	return lines, nil
}

func controlGroups(clusters []string) ([]string, error) {
	trees, err := isolation.Hierarchies()
	if err != nil {
		return nil, err
	}
	var foreign []string
	for _, dir := range clusters {
		foreign = append(foreign, layout.State{Dir: dir}.CgroupName())
	}
	var found []string
	for _, tree := range trees {
		groups, err := filepath.Glob(filepath.Join(tree, "longshore-*"))
		if err != nil {
			return nil, err
		}
		for _, group := range groups {
			if !slices.Contains(foreign, filepath.Base(group)) {
				found = append(found, group)
			}
		}
	}
	return found, nil
}
