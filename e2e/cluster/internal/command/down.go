package command

import (
	"errors"
	"fmt"
	"os"
	"time"

	"longshore.dev/cluster/internal/isolation"
	"longshore.dev/cluster/internal/layout"
)

// kept is what `down` leaves without --purge: the images, of which a big one
// takes seconds to import.
const kept = "containerd"

func down(state layout.State, purge bool) error {
	started := time.Now()
	if _, err := os.Stat(state.Dir); errors.Is(err, os.ErrNotExist) {
		fmt.Printf("%6.2fs  nothing at %s\n", time.Since(started).Seconds(), state.Dir)
		return nil
	}
	lock, err := stop(state)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := isolation.RemoveCgroups(state.CgroupName(), downDeadline); err != nil {
		return err
	}
	entries, err := os.ReadDir(state.Dir)
	if err != nil {
		return err
	}
	keeping := false
	for _, entry := range entries {
		if entry.Name() == kept && !purge {
			keeping = true
			continue
		}
		if err := os.RemoveAll(state.Path(entry.Name())); err != nil {
			return err
		}
	}
	what := "cluster and state removed"
	if keeping {
		what = "cluster and state removed, images kept in " + state.Images()
	} else if err := os.Remove(state.Dir); err != nil {
		return err
	}
	fmt.Printf("%6.2fs  %s\n", time.Since(started).Seconds(), what)
	return nil
}

// stop ends the cluster if it runs and returns its lock.
func stop(state layout.State) (*os.File, error) {
	lock, err := isolation.TryLock(state)
	if err != nil || lock != nil {
		return lock, err
	}
	// A start under way writes the process id a moment after it took the lock.
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if pid, err := isolation.InitPID(state); err == nil {
			isolation.Kill(pid)
			if err := isolation.AwaitEnd(state, pid, downDeadline); err != nil {
				return nil, err
			}
			return isolation.AwaitLock(state, downDeadline)
		}
		if lock, err := isolation.TryLock(state); err != nil || lock != nil {
			return lock, err
		}
	}
	return nil, fmt.Errorf("something holds %s, but no process id is in %s", state.Lock(), state.InitPID())
}
