package command

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"

	"longshore.dev/cluster/internal/boot"
	"longshore.dev/cluster/internal/isolation"
	"longshore.dev/cluster/internal/layout"
)

// programs that have to be on the machine; install-deps.sh brings them.
var needed = []string{"containerd", "containerd-shim-runc-v2", "ctr", "runc", "nft", "socat", "nsenter", "busybox"}

const (
	upDeadline   = 6 * time.Minute
	downDeadline = time.Minute
)

func up(ctx context.Context, state layout.State) error {
	started := time.Now()
	if os.Getuid() != 0 {
		return errors.New("namespaces and containers need root")
	}
	for _, program := range needed {
		if _, err := exec.LookPath(program); err != nil {
			return fmt.Errorf("%s is missing, run install-deps.sh: %w", program, err)
		}
	}
	if err := os.MkdirAll(state.Dir, 0o755); err != nil {
		return err
	}
	lock, err := isolation.TryLock(state)
	if err != nil {
		return err
	}
	if lock == nil {
		return awaitRunning(ctx, state, started)
	}
	defer lock.Close()
	return start(ctx, state, lock, started)
}

// awaitRunning is `up` on a cluster that runs, or is being started by someone
// else right now.
func awaitRunning(ctx context.Context, state layout.State, started time.Time) error {
	for {
		if _, err := os.Stat(state.Ready()); err == nil {
			fmt.Printf("%6.2fs  already running: %s\n", time.Since(started).Seconds(), state.Kubeconfig())
			return nil
		}
		if lock, err := isolation.TryLock(state); err != nil || lock != nil {
			if lock != nil {
				lock.Close()
			}
			return errors.Join(err, errors.New("the start that was under way has failed, see "+state.Log("supervisor")))
		}
		if time.Since(started) > upDeadline {
			return fmt.Errorf("not ready after %s", upDeadline)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func start(ctx context.Context, state layout.State, lock *os.File, started time.Time) error {
	report := func(step string) { fmt.Printf("%6.2fs  %s\n", time.Since(started).Seconds(), step) }
	// A crash leaves nothing but control groups and files, in a moment.
	if pid, err := isolation.InitPID(state); err == nil {
		if err := isolation.AwaitEnd(state, pid, downDeadline); err != nil {
			return err
		}
	}
	if err := isolation.RemoveCgroups(state.CgroupName(), 10*time.Second); err != nil {
		return err
	}
	listener, err := isolation.Listen(state)
	if err != nil {
		return err
	}
	defer listener.Close()
	if err := boot.Prepare(state, "https://"+listener.Addr().String()); err != nil {
		return err
	}
	pid, progress, err := isolation.Start(state, lock, listener)
	if err != nil {
		return err
	}
	report("namespaces, credentials and configuration made")
	if err := follow(ctx, progress, report); err != nil {
		isolation.Kill(pid)
		return fmt.Errorf("%w; see %s", err, state.Path("log"))
	}
	report("cluster ready: " + state.Kubeconfig())
	return nil
}

func follow(ctx context.Context, progress *os.File, report func(string)) error {
	defer context.AfterFunc(ctx, func() { progress.Close() })()
	if err := progress.SetReadDeadline(time.Now().Add(upDeadline)); err != nil {
		return err
	}
	lines := bufio.NewScanner(progress)
	for lines.Scan() {
		line := lines.Text()
		if line == boot.Ready {
			return nil
		}
		if reason, failed := strings.CutPrefix(line, "failed: "); failed {
			return errors.New(reason)
		}
		report(line)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err := lines.Err(); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	return errors.New("the supervisor ended before the cluster was ready")
}
