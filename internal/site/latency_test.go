package site

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// A start pays for ssh -G once, in parallel, unless ~/.ssh/config leads to a host that
// nobody could foresee.
func TestWaits(t *testing.T) {
	const wait = 50 * time.Millisecond
	for _, tt := range []struct {
		name, cluster, jump string
		want                time.Duration
	}{
		{"built in", "daint", "", wait},
		{"by its recommended jump host", "daint", "ela", wait},
		{"by another jump host", "daint", "gate", 2 * wait},
		{"only in ssh's", "lab", "ela", wait},
		{"only in ssh's, jump host too", "lab", "gate", 2 * wait},
	} {
		t.Run(tt.name, func(t *testing.T) {
			home(t, "", "")
			synctest.Test(t, func(t *testing.T) {
				c, err := Load()
				if err != nil {
					t.Fatal(err)
				}
				c.ssh.read = func(_ context.Context, q question) (settings, error) {
					time.Sleep(wait) //nolint:forbidigo // of the bubble's time
					s := settings{hostName: q.name, port: 22}
					if q.name == tt.cluster {
						s.hostName, s.proxyJump = tt.cluster+".example.org", tt.jump
					}
					return s, nil
				}
				began := time.Now()
				cl, err := c.Cluster(t.Context(), tt.cluster)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := c.Route(t.Context(), cl, Overrides{}); err != nil {
					t.Fatal(err)
				}
				if got := time.Since(began); got != tt.want {
					t.Errorf("waited %v, want %v", got, tt.want)
				}
			})
		})
	}
}
