package isolation

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"longshore.dev/cluster/internal/layout"
)

// mountPrivately hides the machine's changing directories behind our own.
//
// Components have fixed paths below /run, /var/log and /var/lib (sockets, log
// links, the CNI cache). /run and /var/log become empty memory; /var/lib keeps
// its content but takes writes in memory, so no directory is ever made on the
// machine. All of that is gone with the mount namespace.
func mountPrivately(state layout.State) error {
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("leaving the machine's mount propagation: %w", err)
	}
	if err := syscall.Mount("proc", "/proc", "proc", syscall.MS_NOSUID|syscall.MS_NODEV|syscall.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mounting /proc: %w", err)
	}
	for _, covered := range []string{"/run", "/var/log", "/var/lib"} {
		if within(state.Dir, covered) && covered != "/var/lib" {
			return fmt.Errorf("the state directory must not lie below %s", covered)
		}
	}
	for _, dir := range []string{"/run", "/var/log"} {
		if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_NOSUID|syscall.MS_NODEV, "mode=755"); err != nil {
			return fmt.Errorf("mounting %s: %w", dir, err)
		}
	}
	if err := overlayVarLib(state); err != nil {
		return err
	}
	// The kubelet hands mounts to containers with propagation, for which its
	// own root has to be shared; only mounts of this namespace are peers now.
	return syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_SHARED, "")
}

func overlayVarLib(state layout.State) error {
	upper, work, held := "/run/var-lib/upper", "/run/var-lib/work", "/run/var-lib/state"
	for _, dir := range []string{upper, work, held} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	inside := within(state.Dir, "/var/lib")
	if inside {
		if err := syscall.Mount(state.Dir, held, "", syscall.MS_BIND|syscall.MS_REC, ""); err != nil {
			return err
		}
	}
	options := "lowerdir=/var/lib,upperdir=" + upper + ",workdir=" + work
	if err := syscall.Mount("overlay", "/var/lib", "overlay", 0, options); err != nil {
		return fmt.Errorf("mounting /var/lib: %w", err)
	}
	if inside {
		return syscall.Mount(held, state.Dir, "", syscall.MS_MOVE, "")
	}
	return nil
}

func within(path, dir string) bool {
	relative, err := filepath.Rel(dir, path)
	return err == nil && relative != ".." && !strings.HasPrefix(relative, "../")
}
