// Package isolation owns the namespaces a cluster lives in: network, mounts,
// processes, IPC and host name. It knows nothing of Kubernetes. Since all of
// it hangs on one process (the init of the process namespace), killing that
// one removes every process, mount, interface and packet filter rule at once.
package isolation

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"longshore.dev/cluster/internal/layout"
)

// File descriptors that init and the supervisor inherit, in this order.
const (
	progressFD = 3
	listenerFD = 4
	lockFD     = 5
)

// programName is what the kernel calls init: the base of layout.State.Program.
const programName = "cluster"

// Start runs `program init` in namespaces of its own and returns its process
// id and the reading end of its progress pipe. The lock stays held for as long
// as init lives, which is how others know that the cluster runs.
func Start(state layout.State, lock *os.File, listener *net.TCPListener) (int, *os.File, error) {
	log, err := os.OpenFile(state.Log("supervisor"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return 0, nil, err
	}
	defer log.Close()
	read, write, err := os.Pipe()
	if err != nil {
		return 0, nil, err
	}
	defer write.Close()
	socket, err := listener.File()
	if err != nil {
		return 0, nil, err
	}
	defer socket.Close()

	command := exec.Command(state.Program(), "init", "--state", state.Dir)
	command.Stdout, command.Stderr = log, log
	command.ExtraFiles = []*os.File{write, socket, lock}
	command.Dir = "/"
	command.SysProcAttr = &syscall.SysProcAttr{
		Setsid: true,
		Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID |
			syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS,
	}
	if err := command.Start(); err != nil {
		return 0, nil, fmt.Errorf("starting the cluster's init: %w", err)
	}
	pid := command.Process.Pid
	if err := os.WriteFile(state.InitPID(), []byte(strconv.Itoa(pid)), 0o644); err != nil {
		Kill(pid)
		return 0, nil, err
	}
	return pid, read, nil
}

// InitPID reads the process id of a cluster's init. It is only to be believed
// while the lock is held by someone else.
func InitPID(state layout.State) (int, error) {
	body, err := os.ReadFile(state.InitPID())
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(string(body))
}

// Kill ends init, and by that everything in its namespaces.
func Kill(pid int) { _ = syscall.Kill(pid, syscall.SIGKILL) }

// AwaitEnd waits until a killed init and all that was in its namespaces is
// dead. That is later than the release of the lock: the kernel closes init's
// files first, then kills the others, and only then makes a zombie of it.
func AwaitEnd(state layout.State, pid int, deadline time.Duration) error {
	// A pidfd tells of the end of a process with all its threads; the state in
	// /proc is that of the first thread alone.
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) || (err == nil && !isInit(state, pid)) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("watching process %d: %w", pid, err)
	}
	defer unix.Close(fd)
	for end := time.Now().Add(deadline); ; {
		left := time.Until(end)
		if left <= 0 {
			return fmt.Errorf("process %d is not dead after %s", pid, deadline)
		}
		ready, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(left.Milliseconds())+1)
		if ready > 0 {
			return nil
		}
		if err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("watching process %d: %w", pid, err)
		}
	}
}

// isInit tells a cluster's init from another program that got its process id
// meanwhile. The command line of a process is empty once its memory is gone.
func isInit(state layout.State, pid int) bool {
	name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	if err != nil || strings.TrimSpace(string(name)) != programName {
		return false
	}
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return err == nil && (len(line) == 0 || strings.Contains(string(line), state.Dir))
}

// TryLock takes the state's lock. It returns nil without an error when a
// running cluster holds it.
func TryLock(state layout.State) (*os.File, error) {
	file, err := os.OpenFile(state.Lock(), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == syscall.EWOULDBLOCK {
		file.Close()
		return nil, nil
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

// AwaitLock takes the lock as soon as its holder is gone.
func AwaitLock(state layout.State, deadline time.Duration) (*os.File, error) {
	for end := time.Now().Add(deadline); ; time.Sleep(20 * time.Millisecond) {
		lock, err := TryLock(state)
		if err != nil || lock != nil {
			return lock, err
		}
		if time.Now().After(end) {
			return nil, fmt.Errorf("the lock %s is still held after %s", state.Lock(), deadline)
		}
	}
}

// Listen opens the port on the machine's loopback that leads to the API
// server: the remembered one if it is free, else any.
func Listen(state layout.State) (*net.TCPListener, error) {
	port := 0
	if body, err := os.ReadFile(state.Port()); err == nil {
		port, _ = strconv.Atoi(string(body))
	}
	loopback := net.IPv4(127, 0, 0, 1)
	listener, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: loopback, Port: port})
	if err != nil {
		if listener, err = net.ListenTCP("tcp4", &net.TCPAddr{IP: loopback}); err != nil {
			return nil, err
		}
	}
	port = listener.Addr().(*net.TCPAddr).Port
	return listener, os.WriteFile(state.Port(), []byte(strconv.Itoa(port)), 0o644)
}
