package leftover

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

type process struct {
	pid, parent int
	name        string
	args        []string
	pidNS       string
	netNS       string
	program     string
	workingDir  string
}

// programs that a cluster runs on the machine, by the kernel's short name.
var programs = []string{
	"cluster", "containerd", "containerd-shim", "runc", "etcd", "kube-apiserver",
	"kube-controller", "kube-scheduler", "kubelet", "kube-proxy", "coredns",
}

func readProcesses() ([]process, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var all []process
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		if p, ok := readProcess(pid); ok {
			all = append(all, p)
		}
	}
	return all, nil
}

// readProcess is not ok for a process that is gone meanwhile.
func readProcess(pid int) (process, bool) {
	dir := fmt.Sprintf("/proc/%d/", pid)
	stat, err := os.ReadFile(dir + "stat")
	if err != nil {
		return process{}, false
	}
	command, err := os.ReadFile(dir + "cmdline")
	if err != nil {
		return process{}, false
	}
	name, state, parent := parseStat(string(stat))
	if state == "Z" {
		// Dead; it holds nothing and waits for a parent that is not ours.
		return process{}, false
	}
	p := process{pid: pid, parent: parent, name: name}
	p.args = strings.Split(strings.TrimRight(string(command), "\x00"), "\x00")
	p.pidNS, _ = os.Readlink(dir + "ns/pid")
	p.netNS, _ = os.Readlink(dir + "ns/net")
	p.program, _ = os.Readlink(dir + "exe")
	p.workingDir, _ = os.Readlink(dir + "cwd")
	return p, true
}

// parseStat takes name, state and parent from a line of proc_pid_stat(5). The
// name stands in parentheses and may contain some itself.
func parseStat(line string) (name, state string, parent int) {
	open, shut := strings.Index(line, "("), strings.LastIndex(line, ")")
	if open < 0 || shut < open {
		return "", "", 0
	}
	if fields := strings.Fields(line[shut+1:]); len(fields) > 1 {
		state = fields[0]
		parent, _ = strconv.Atoi(fields[1])
	}
	return line[open+1 : shut], state, parent
}

// liveClusters gives all processes below the init of a running cluster, and the
// clusters' state directories. A process that a dead cluster left behind has no
// such ancestor.
func liveClusters(all []process) (map[int]bool, []string) {
	below := map[int]bool{}
	var dirs []string
	for _, p := range all {
		if len(p.args) >= 4 && filepath.Base(p.args[0]) == "cluster" && p.args[1] == "init" && p.args[2] == "--state" {
			below[p.pid] = true
			dirs = append(dirs, p.args[3])
		}
	}
	for grown := true; grown; {
		grown = false
		for _, p := range all {
			if below[p.parent] && !below[p.pid] {
				below[p.pid], grown = true, true
			}
		}
	}
	return below, dirs
}

// ours lists processes in another process namespace than the caller's, those
// with the name of a component, and those of the folders. A shell that somebody
// has opened in a folder is none: it is not an orphan.
func ours(all []process, foreign map[int]bool, folders []string) []string {
	own, _ := os.Readlink("/proc/self/ns/pid")
	var found []string
	for _, p := range all {
		elsewhere := p.pidNS != "" && p.pidNS != own
		belongs := elsewhere || slices.Contains(programs, p.name) ||
			slices.ContainsFunc(folders, func(folder string) bool { return p.belongsTo(folder) })
		if foreign[p.pid] || p.pid == os.Getpid() || !belongs {
			continue
		}
		found = append(found, fmt.Sprintf("%d %s", p.pid, strings.Join(p.args, " ")))
	}
	return found
}

func (p process) belongsTo(folder string) bool {
	below := strings.TrimRight(folder, "/") + "/"
	return strings.HasPrefix(p.program, below) || p.parent == 1 && strings.HasPrefix(p.workingDir+"/", below)
}

// networkNamespaces lists those that a process is in, and the named ones.
func networkNamespaces(all []process, foreign map[int]bool) ([]string, error) {
	var found []string
	for _, p := range all {
		if p.netNS != "" && !foreign[p.pid] && !slices.Contains(found, p.netNS) {
			found = append(found, p.netNS)
		}
	}
	for _, dir := range []string{"/run/netns", "/var/run/netns"} {
		named, err := filepath.Glob(dir + "/*")
		if err != nil {
			return nil, err
		}
		found = append(found, named...)
	}
	return found, nil
}
