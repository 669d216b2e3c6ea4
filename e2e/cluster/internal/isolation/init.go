package isolation

import (
	"errors"
	"os"
	"os/exec"
	"syscall"

	"longshore.dev/cluster/internal/layout"
)

// Init is the first process of the cluster's process namespace. It prepares
// mounts and network, starts the supervisor, adopts and reaps orphans, and
// ends (with all the rest) when the supervisor does.
func Init(state layout.State) error {
	for _, fd := range []int{progressFD, listenerFD, lockFD} {
		syscall.CloseOnExec(fd)
	}
	if err := mountPrivately(state); err != nil {
		return err
	}
	if err := configureNetwork(); err != nil {
		return err
	}
	if err := syscall.Sethostname([]byte(layout.NodeName)); err != nil {
		return err
	}
	progress := os.NewFile(progressFD, "progress")
	listener := os.NewFile(listenerFD, "listener")
	supervisor := exec.Command(state.Program(), "supervise", "--state", state.Dir)
	supervisor.Stdout, supervisor.Stderr = os.Stdout, os.Stderr
	supervisor.ExtraFiles = []*os.File{progress, listener}
	if err := supervisor.Start(); err != nil {
		return err
	}
	progress.Close()
	listener.Close()
	return reapUntil(supervisor.Process.Pid)
}

// Inherited gives the supervisor the files that Init passed to it.
func Inherited() (progress, listener *os.File) {
	syscall.CloseOnExec(progressFD)
	syscall.CloseOnExec(listenerFD)
	return os.NewFile(progressFD, "progress"), os.NewFile(listenerFD, "listener")
}

func reapUntil(pid int) error {
	for {
		var status syscall.WaitStatus
		reaped, err := syscall.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			return err
		case reaped == pid:
			return errors.New("the supervisor has ended")
		}
	}
}
