// Package command owns the command line: what a person or a script can ask of
// a cluster, what is printed, and the exit status.
package command

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"syscall"

	"longshore.dev/cluster/internal/boot"
	"longshore.dev/cluster/internal/isolation"
	"longshore.dev/cluster/internal/layout"
	"longshore.dev/cluster/internal/policy"
	"longshore.dev/cluster/internal/volume"
)

const usage = `usage: cluster COMMAND [--state DIR] ...

  up                    start the cluster, or repair it, and wait until it is ready
  down [--purge]        stop it and remove its state; images are kept without --purge
  status                say what runs; exit status 0 healthy, 1 not, 3 not running
  load-image ARCHIVE..  import OCI or docker archives, skipping what is there
  exec -- PROGRAM ARG.. run a program inside the cluster's namespaces
  leftovers snapshot    print what of clusters is on this machine, as JSON
  leftovers diff FILE   print what has come since that snapshot; exit status 1 if anything
    --of DIR            with snapshot and diff: programs that lie in DIR, and orphans that work there, too
  kubectl, helm, ...    any component, by its name

DIR is target/cluster below the working directory by default.
`

// defaultState is relative to where the caller stands: the repository's root.
const defaultState = "target/cluster"

// exitError carries an exit status that is not 1.
type exitError int

func (e exitError) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

type verb struct {
	run   func(context.Context, layout.State, []string) error
	flags func(*flag.FlagSet)
}

func verbs() map[string]verb {
	purge := false
	var folders []string
	return map[string]verb{
		"up": {run: func(ctx context.Context, state layout.State, _ []string) error { return up(ctx, state) }},
		"down": {
			run:   func(_ context.Context, state layout.State, _ []string) error { return down(state, purge) },
			flags: func(set *flag.FlagSet) { set.BoolVar(&purge, "purge", false, "remove cached images too") },
		},
		"status":     {run: func(ctx context.Context, state layout.State, _ []string) error { return status(ctx, state) }},
		"load-image": {run: loadImages},
		"exec":       {run: func(_ context.Context, state layout.State, args []string) error { return enter(state, args) }},
		"leftovers": {
			run: func(_ context.Context, _ layout.State, args []string) error { return leftovers(folders, args) },
			flags: func(set *flag.FlagSet) {
				set.Func("of", "list processes of this folder too (may be repeated)", func(folder string) error {
					absolute, err := filepath.Abs(folder)
					folders = append(folders, absolute)
					return err
				})
			},
		},
		"init":        {run: func(_ context.Context, state layout.State, _ []string) error { return isolation.Init(state) }},
		"supervise":   {run: func(ctx context.Context, state layout.State, _ []string) error { return boot.Supervise(ctx, state) }},
		"policy":      {run: func(ctx context.Context, state layout.State, _ []string) error { return policy.Run(ctx, state) }},
		"provisioner": {run: func(ctx context.Context, state layout.State, _ []string) error { return volume.Run(ctx, state) }},
	}
}

// Main runs one command and returns the exit status.
func Main(args []string) int {
	if len(args) == 0 {
		fmt.Fprint(os.Stderr, usage)
		return 2
	}
	chosen, ok := verbs()[args[0]]
	if !ok {
		fmt.Fprint(os.Stderr, usage)
		return 2
	}
	set := flag.NewFlagSet(args[0], flag.ContinueOnError)
	set.Usage = func() { fmt.Fprint(os.Stderr, usage) }
	dir := set.String("state", defaultState, "state directory")
	if chosen.flags != nil {
		chosen.flags(set)
	}
	if err := set.Parse(args[1:]); err != nil {
		return 2
	}
	state, err := stateAt(*dir)
	if err != nil {
		fmt.Fprintln(os.Stderr, "cluster:", err)
		return 2
	}
	slog.SetDefault(slog.New(slog.NewTextHandler(os.Stderr, nil)))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var exit exitError
	switch err := chosen.run(ctx, state, set.Args()); {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return int(exit)
	default:
		fmt.Fprintf(os.Stderr, "cluster %s: %v\n", args[0], err)
		return 1
	}
}

// The path stands in configuration files of several formats and in a shell
// script, so only harmless characters are taken.
var harmless = regexp.MustCompile(`^[A-Za-z0-9/._-]+$`)

func stateAt(dir string) (layout.State, error) {
	absolute, err := filepath.Abs(dir)
	if err != nil {
		return layout.State{}, err
	}
	if !harmless.MatchString(absolute) {
		return layout.State{}, fmt.Errorf("the state directory %q has characters other than letters, digits and /._-", absolute)
	}
	return layout.State{Dir: absolute}, nil
}
