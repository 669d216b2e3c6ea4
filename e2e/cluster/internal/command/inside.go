package command

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"longshore.dev/cluster/internal/image"
	"longshore.dev/cluster/internal/isolation"
	"longshore.dev/cluster/internal/layout"
)

var errNotRunning = errors.New("the cluster does not run")

func loadImages(ctx context.Context, state layout.State, archives []string) error {
	if len(archives) == 0 {
		return errors.New("name at least one archive")
	}
	if !running(state) {
		return errNotRunning
	}
	for _, archive := range archives {
		started := time.Now()
		results, err := image.Load(ctx, state.ContainerdSocket(), archive)
		if err != nil {
			return err
		}
		for _, result := range results {
			what := "loaded"
			switch {
			case result.Already:
				what = "already there"
			case result.Replaced != "":
				what = "loaded, replacing " + short(result.Replaced)
			}
			fmt.Printf("%6.2fs  %s %s: %s\n", time.Since(started).Seconds(), strings.Join(result.Names, ", "), short(result.ID), what)
		}
	}
	return nil
}

func short(digest string) string {
	_, hex, _ := strings.Cut(digest, ":")
	return hex[:min(12, len(hex))]
}

// enter runs a program in the cluster's namespaces, in place of this one.
func enter(state layout.State, args []string) error {
	if len(args) == 0 {
		return errors.New("name a program")
	}
	if !running(state) {
		return errNotRunning
	}
	pid, err := isolation.InitPID(state)
	if err != nil {
		return err
	}
	nsenter, err := exec.LookPath("nsenter")
	if err != nil {
		return err
	}
	full := append([]string{"nsenter", "--target", strconv.Itoa(pid), "--net", "--mount", "--pid", "--ipc", "--uts", "--"}, args...)
	return syscall.Exec(nsenter, full, os.Environ())
}
