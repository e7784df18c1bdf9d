package slurm

import (
	"bufio"
	"context"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// spoken is what speak says within that time, and when, in seconds since it began.
func spoken(t *testing.T, lease, within time.Duration, command func(*commands)) (at []int, lines []string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), within)
		defer cancel()
		r, w := io.Pipe()
		var o commands
		began := time.Now()
		done := make(chan struct{})
		go func() {
			defer close(done)
			defer w.Close()
			sendClientMessages(ctx, &o, w, lease)
		}()
		if command != nil {
			time.AfterFunc(within/2, func() { command(&o) })
		}
		for s := bufio.NewScanner(r); s.Scan(); {
			at = append(at, int(time.Since(began)/time.Second))
			lines = append(lines, s.Text())
		}
		<-done
	})
	return at, lines
}

// A lease is renewed at once, four times within its time, and every 30 s at the least; each
// sign of life is another than the one before.
func TestRenewals(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		lease, within time.Duration
		want          []int
	}{
		{time.Hour, 2*time.Minute + time.Second, []int{0, 30, 60, 90, 120}},
		{2 * time.Minute, 65 * time.Second, []int{0, 30, 60}},
		{time.Minute, 50 * time.Second, []int{0, 15, 30, 45}},
		{4 * time.Second, 3500 * time.Millisecond, []int{0, 1, 2, 3}},
		{0, time.Hour, nil},
	} {
		at, lines := spoken(t, c.lease, c.within, nil)
		if diff := cmp.Diff(c.want, at); diff != "" {
			t.Errorf("lease %v (-want +got):\n%s", c.lease, diff)
		}
		for i := 1; i < len(lines); i++ {
			if lines[i] == lines[i-1] {
				t.Errorf("lease %v: the same twice: %q", c.lease, lines)
			}
		}
	}
}

// A client that detaches lives on until it has been heard; one that withdraws says nothing more.
func TestOrders(t *testing.T) {
	t.Parallel()
	_, lines := spoken(t, time.Minute, 50*time.Second, func(o *commands) { o.detach.set() })
	if len(lines) != 5 || lines[2] != "detach" {
		t.Errorf("detach: %q", lines)
	}
	at, lines := spoken(t, time.Minute, 50*time.Second, func(o *commands) { o.withdraw.set() })
	if diff := cmp.Diff([]int{0, 15, 25}, at); diff != "" || lines[2] != "stop" {
		t.Errorf("withdraw: %q\n%s", lines, diff)
	}
}
