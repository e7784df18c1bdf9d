//go:build linux

package main

import (
	"bytes"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestCommand(t *testing.T) {
	for _, tt := range []struct {
		commands string // separated by ";"
		status   string // what the line says afterwards
		err      string // or why the last command is refused
	}{
		{commands: "rtt 20ms", status: "rtt=20ms loss=0% cut=false"},
		{commands: "rtt 20ms;rtt 0", status: "rtt=0s"},
		{commands: "loss 2.5", status: "loss=2.5%"},
		{commands: "cut", status: "cut=true"},
		{commands: "cut;heal", status: "cut=false"},
		{commands: "detach a", status: "a=false b=false"},
		{commands: "rtt -1ms", err: "want a duration"},
		{commands: "rtt 2h", err: "want a duration"},
		{commands: "rtt 20", err: "want a duration"},
		{commands: "loss 101", err: "want a percentage"},
		{commands: "loss x", err: "want a percentage"},
		{commands: "detach c", err: `no end "c"`},
		{commands: "cut now", err: "unknown command"},
		{commands: "", err: "no command"},
	} {
		t.Run(tt.commands, func(t *testing.T) {
			w := &wire{}
			var err error
			for command := range strings.SplitSeq(tt.commands, ";") {
				_, err = w.runCommand(strings.Fields(command))
			}
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Fatalf("error %v, want one that says %q", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := w.statusLine(); !strings.Contains(got, tt.status) {
				t.Errorf("status %q, want it to say %q", got, tt.status)
			}
		})
	}
}

func TestQueueKeepsOrder(t *testing.T) {
	q := newQueue()
	now := time.Now()
	buf := []byte{0}
	for i := range 3 {
		buf[0] = byte(i)
		// Due earlier and earlier, as when the delay is shortened.
		if !q.put(buf, now.Add(-time.Duration(i)*time.Second)) {
			t.Fatal("no room")
		}
	}
	for i := range 3 {
		if got := q.take().data; !bytes.Equal(got, []byte{byte(i)}) {
			t.Errorf("packet %d is %v", i, got)
		}
	}
}

func TestQueueIsBounded(t *testing.T) {
	q := newQueue()
	large := make([]byte, maxPacket)
	n := 0
	for q.put(large, time.Time{}) {
		n++
	}
	if want := maxQueued / maxPacket; n != want {
		t.Errorf("took %d packets of %d bytes, want %d", n, maxPacket, want)
	}
	q.take()
	if !q.put(large, time.Time{}) {
		t.Error("no room after one was taken")
	}
}

func TestQueueWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue()
		got := make(chan packet)
		go func() { got <- q.take() }()
		synctest.Wait()
		select {
		case p := <-got:
			t.Fatalf("took %v from an empty queue", p)
		default:
		}
		q.put([]byte{1}, time.Time{})
		<-got
	})
}
