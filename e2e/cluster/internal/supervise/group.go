// Package supervise owns the life of child processes: it starts them, starts
// them again with a growing pause when they end, and writes down how they are.
// It does not know what they do.
package supervise

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"
)

// Child is a program that should always run.
type Child struct {
	Name string
	Args []string // program first
	Log  string
}

// Health is what is known of one child.
type Health struct {
	Name     string    `json:"name"`
	PID      int       `json:"pid"` // in the cluster's process namespace; 0 while it is down
	Since    time.Time `json:"since"`
	Restarts int       `json:"restarts"`
	LastExit string    `json:"lastExit,omitempty"`
}

// Group is the set of children whose health stands in one file.
type Group struct {
	file string
	env  []string

	mutex  sync.Mutex
	health []*Health
}

// NewGroup makes a group that reports into file and gives env to its children.
func NewGroup(file string, env []string) *Group { return &Group{file: file, env: env} }

// Start keeps the child running until ctx ends. It fails only when the first
// start does: a program that is not there will not come by itself.
func (g *Group) Start(ctx context.Context, child Child) error {
	health := &Health{Name: child.Name}
	g.mutex.Lock()
	g.health = append(g.health, health)
	g.mutex.Unlock()
	process, err := g.launch(child)
	if err != nil {
		return fmt.Errorf("starting %s: %w", child.Name, err)
	}
	g.record(health, process)
	go g.keep(ctx, child, health, process)
	return nil
}

func (g *Group) keep(ctx context.Context, child Child, health *Health, process *exec.Cmd) {
	var pause Backoff
	for {
		started := time.Now()
		if process != nil {
			err := process.Wait()
			slog.Warn("a component has ended", "component", child.Name, "error", err, "after", time.Since(started).Round(time.Millisecond))
			g.recordExit(health, process.ProcessState.String())
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause.Next(time.Since(started))):
		}
		next, err := g.launch(child)
		if err != nil {
			slog.Error("a component cannot be started", "component", child.Name, "error", err)
			g.recordExit(health, err.Error())
			process = nil
			continue
		}
		process = next
		g.record(health, process)
	}
}

func (g *Group) launch(child Child) (*exec.Cmd, error) {
	log, err := os.OpenFile(child.Log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	process := exec.Command(child.Args[0], child.Args[1:]...)
	process.Stdout, process.Stderr = log, log
	process.Env = g.env
	process.Dir = "/"
	return process, process.Start()
}

func (g *Group) record(health *Health, process *exec.Cmd) {
	g.mutex.Lock()
	defer g.mutex.Unlock()
	if !health.Since.IsZero() {
		health.Restarts++
	}
	health.PID, health.Since = process.Process.Pid, time.Now()
	g.write()
}

func (g *Group) recordExit(health *Health, exit string) {
	g.mutex.Lock()
	defer g.mutex.Unlock()
	health.PID, health.LastExit = 0, exit
	g.write()
}

// write is called with the mutex held. A failure is logged, not returned: the
// file is for people, the children matter more.
func (g *Group) write() {
	body, err := json.MarshalIndent(g.health, "", "  ")
	if err == nil {
		next := g.file + ".new"
		if err = os.WriteFile(next, body, 0o644); err == nil {
			err = os.Rename(next, filepath.Clean(g.file))
		}
	}
	if err != nil {
		slog.Error("the health of the components cannot be written", "error", err)
	}
}

// ReadHealth reads what a group wrote.
func ReadHealth(file string) ([]Health, error) {
	body, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var health []Health
	return health, json.Unmarshal(body, &health)
}
