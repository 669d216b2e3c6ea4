package isolation

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	cgroupRoot  = "/sys/fs/cgroup"
	cgroup2Type = 0x63677270
)

// Hierarchies lists the mounted cgroup trees: one with cgroup v2, one per
// controller with v1.
func Hierarchies() ([]string, error) {
	if Unified() {
		return []string{cgroupRoot}, nil
	}
	entries, err := os.ReadDir(cgroupRoot)
	if err != nil {
		return nil, err
	}
	var trees []string
	for _, entry := range entries {
		tree := filepath.Join(cgroupRoot, entry.Name())
		// "cpu" and "cpuacct" are often links to one tree; "unified" is the
		// controllerless v2 tree of a hybrid machine.
		info, err := os.Lstat(tree)
		if err != nil || !info.IsDir() || entry.Name() == "unified" {
			continue
		}
		if _, err := os.Stat(filepath.Join(tree, "cgroup.procs")); err == nil {
			trees = append(trees, tree)
		}
	}
	return trees, nil
}

// MakeCgroups makes the cluster's parent cgroup in every hierarchy.
func MakeCgroups(name string) error {
	trees, err := Hierarchies()
	if err != nil {
		return err
	}
	if Unified() {
		if err := delegate(cgroupRoot); err != nil {
			return err
		}
	}
	for _, tree := range trees {
		dir := filepath.Join(tree, name)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		// A v1 cpuset takes no process before it has CPUs and memory nodes.
		for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
			if Unified() || filepath.Base(tree) != "cpuset" {
				continue
			}
			value, err := os.ReadFile(filepath.Join(tree, file))
			if err != nil {
				return err
			}
			if err := os.WriteFile(filepath.Join(dir, file), value, 0o644); err != nil {
				return err
			}
		}
	}
	if Unified() {
		return delegate(filepath.Join(cgroupRoot, name))
	}
	return nil
}

// RemoveCgroups removes the cluster's cgroups, whose processes are dead or
// dying. The kernel needs a moment to let go of the last ones.
func RemoveCgroups(name string, deadline time.Duration) error {
	trees, err := Hierarchies()
	if err != nil {
		return err
	}
	for end := time.Now().Add(deadline); ; time.Sleep(20 * time.Millisecond) {
		var left error
		for _, tree := range trees {
			left = errors.Join(left, removeTree(filepath.Join(tree, name)))
		}
		if left == nil || time.Now().After(end) {
			return left
		}
	}
}

func removeTree(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if entry.IsDir() {
			if err := removeTree(filepath.Join(dir, entry.Name())); err != nil {
				return err
			}
		}
	}
	if err := syscall.Rmdir(dir); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("removing cgroup %s: %w", dir, err)
	}
	return nil
}

// Unified tells whether the machine uses cgroup v2.
func Unified() bool {
	var stat syscall.Statfs_t
	return syscall.Statfs(cgroupRoot, &stat) == nil && stat.Type == cgroup2Type
}

// delegate lets children of a v2 cgroup use every controller it has.
func delegate(dir string) error {
	available, err := os.ReadFile(filepath.Join(dir, "cgroup.controllers"))
	if err != nil {
		return err
	}
	for _, controller := range strings.Fields(string(available)) {
		file := filepath.Join(dir, "cgroup.subtree_control")
		if err := os.WriteFile(file, []byte("+"+controller), 0o644); err != nil {
			return fmt.Errorf("enabling the %s controller below %s: %w", controller, dir, err)
		}
	}
	return nil
}
