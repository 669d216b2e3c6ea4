package supervise

import (
	"testing"
	"time"
)

func TestPauseDoublesUpToTheLongestAndRestartsAfterASteadyRun(t *testing.T) {
	var pause Backoff
	want := []time.Duration{200, 400, 800, 1600, 3200, 6400, 10000, 10000}
	for i, milliseconds := range want {
		if got := pause.Next(time.Second); got != milliseconds*time.Millisecond {
			t.Fatalf("pause %d is %s, want %dms", i, got, milliseconds)
		}
	}
	if got := pause.Next(steady); got != firstPause {
		t.Fatalf("after a steady run the pause is %s, want %s", got, firstPause)
	}
}
