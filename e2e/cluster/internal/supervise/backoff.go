package supervise

import "time"

const (
	firstPause = 200 * time.Millisecond
	longest    = 10 * time.Second
	// A child that ran this long starts with a short pause again.
	steady = 30 * time.Second
)

// Backoff is the pause before the next start of a child.
type Backoff struct{ last time.Duration }

// Next gives the pause after a run of that length.
func (b *Backoff) Next(ran time.Duration) time.Duration {
	if ran >= steady || b.last == 0 {
		b.last = firstPause
	} else {
		b.last = min(2*b.last, longest)
	}
	return b.last
}
