package supervise

import (
	"context"
	"path/filepath"
	"testing"
	"time"
)

func TestAKilledChildIsStartedAgain(t *testing.T) {
	dir := t.TempDir()
	group := NewGroup(filepath.Join(dir, "children.json"), nil)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	child := Child{Name: "shell", Args: []string{"/bin/sh", "-c", "exit 3"}, Log: filepath.Join(dir, "log")}
	if err := group.Start(ctx, child); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		health, err := ReadHealth(filepath.Join(dir, "children.json"))
		if err == nil && len(health) == 1 && health[0].Restarts >= 2 && health[0].LastExit == "exit status 3" {
			return
		}
	}
	t.Fatal("the child was not started twice more within 20 s")
}

func TestAMissingProgramFailsTheFirstStart(t *testing.T) {
	dir := t.TempDir()
	group := NewGroup(filepath.Join(dir, "children.json"), nil)
	child := Child{Name: "none", Args: []string{filepath.Join(dir, "none")}, Log: filepath.Join(dir, "log")}
	if err := group.Start(context.Background(), child); err == nil {
		t.Fatal("starting a missing program succeeded")
	}
}
