//go:build linux

package main

import (
	"context"
	"os"
	"time"
)

// away is how long the network is: longer than the 15 s after which another chain is dialled.
const away = 20 * time.Second

// returns measures how long after the network's return a request is answered that was made on
// the local port while it was away; beside it, in the same lab, what is aimed at: a second and
// a dial of the whole chain.
func (b *bench) returns(ctx context.Context, r record) error {
	s, err := b.serve(ctx)
	if err != nil {
		return err
	}
	// As the runner tells it: to be pinned.
	key, err := os.ReadFile(b.Env["LAB_HOSTKEY_"+s.node])
	if err != nil {
		return err
	}
	for round := range b.rounds {
		dialled, err := b.timed(ctx, b.self, "dial", "/home/alice/.ssh/cscs-key", "/home/alice/.ssh/known_hosts", s.node, string(key))
		if err != nil {
			return err
		}
		if err := b.tell(ctx, "cut"); err != nil {
			return err
		}
		answered := make(chan error, 1)
		select {
		case <-time.After(away - time.Second):
		case <-ctx.Done():
			return ctx.Err()
		}
		go func() { answered <- b.get(ctx, s.url) }()
		<-time.After(time.Second)
		if err := b.tell(ctx, "heal"); err != nil {
			return err
		}
		began := time.Now()
		if err := <-answered; err != nil {
			return err
		}
		took := time.Since(began)
		if err := r.add("cscs", round, took.Seconds(), "s"); err != nil {
			return err
		}
		if err := r.add("1 s and a dial", round, 1+dialled.Seconds(), "s"); err != nil {
			return err
		}
	}
	return s.stop()
}
