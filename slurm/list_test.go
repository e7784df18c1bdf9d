package slurm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/alps-tunnel/cscs/internal/slurmtest"
)

func TestList(t *testing.T) {
	t.Parallel()
	f := slurmtest.New(t)
	if found, swept, err := List(t.Context(), f); err != nil || len(found)+len(swept) > 0 {
		t.Fatalf("nothing there: %v %v %v", found, swept, err)
	}
	id := testID(t)
	r := submit(t.Context(), t, f, &Submission{ID: id, Lease: time.Minute, Launch: Launch{Argv: serverArgv("127.0.0.1"),
		Files: map[string][]byte{"session.json": []byte(`{"id":"x","lease":60}` + "\n")}}})
	listening := await[Listening](r)
	found, swept, err := List(t.Context(), f)
	if err != nil || len(swept) > 0 {
		t.Fatalf("swept %v, error %v", swept, err)
	}
	want := []Found{{ID: id, About: `{"id":"x","lease":60}`, Serving: true, Port: portOf(t, listening.Addr), Job: "4711", State: "RUNNING",
		Ends: time.Unix(1700003600, 0), Nodes: []string{"nid001001"}, Partition: "normal", Account: "csstaff"}}
	if diff := cmp.Diff(want, found, cmpopts.IgnoreFields(Found{}, "Age")); diff != "" {
		t.Errorf("found (-want +got):\n%s", diff)
	}
	r.letGo()
	stopFake(t, f, Stopping{ID: id})
}

func portOf(t *testing.T, addr string) int {
	t.Helper()
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// A port that another program has written into the events is none.
func TestListPassesOverOddPorts(t *testing.T) {
	t.Parallel()
	for port, want := range map[string]int{"7000": 7000, "0": 0, "-1": 0, "65536": 0, "x": 0, "": 0, "99999999999999999999": 0} {
		if f := parseFound(parseLine("session\tid=abcd2345\tlast=listening\tport=" + port)); f.Port != want {
			t.Errorf("%q: %d", port, f.Port)
		}
	}
}

// What lies in the directory of the sessions and has no session's name is none.
func TestListPassesOverOddNames(t *testing.T) {
	t.Parallel()
	f := slurmtest.New(t)
	base := filepath.Join(f.Home, ".cscs", "fake")
	for _, name := range []string{"abcd2345", "a b", "UPPER", "x;y", "-rf", "a.b", "*", "ü"} {
		putFiles(t, filepath.Join(base, name), map[string]string{"mark": "cscs " + name + "\n", "session.json": "{}\n"})
	}
	found, swept, err := List(t.Context(), f)
	if err != nil || len(swept) > 0 || len(found) != 1 || found[0].ID != "abcd2345" {
		t.Errorf("found %+v, swept %v, %v", found, swept, err)
	}
}

// Who attends a session is told once, however often he has connected, and not when nothing has
// been heard of him for long.
func TestListTellsWhoAttends(t *testing.T) {
	t.Parallel()
	f := slurmtest.New(t)
	id := testID(t)
	dir := filepath.Join(f.Home, ".cscs", "fake", id)
	putFiles(t, dir, map[string]string{"mark": "cscs " + id + "\n"})
	ago := func(d time.Duration) int64 { return time.Now().Add(-d).Unix() }
	for name, text := range map[string]string{
		"a": fmt.Sprintf("%d alice@laptop (pid 7)\n", ago(0)), "b": fmt.Sprintf("%d alice@laptop (pid 7)\n", ago(40*time.Second)),
		"c": fmt.Sprintf("%d alice@laptop (pid 8)\n", ago(10*time.Second)), "d": fmt.Sprintf("%d alice@desktop (pid 7)\n", ago(4*time.Minute)),
		"e": "",
	} {
		if err := os.WriteFile(filepath.Join(dir, "client."+name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	found, _, err := List(t.Context(), f)
	want := []Found{{ID: id, Over: true, Age: -1, Clients: []string{"alice@laptop (pid 7)", "alice@laptop (pid 8)"}}}
	if diff := cmp.Diff(want, found); diff != "" || err != nil {
		t.Errorf("found (-want +got), %v:\n%s", err, diff)
	}
}

// What has ended tells how, also when it is swept, as long as it has a log.
func TestListTellsHowItEnded(t *testing.T) {
	t.Parallel()
	f := slurmtest.New(t)
	id := testID(t)
	dir := putSession(t, f, id, time.Hour)
	putFiles(t, dir, map[string]string{
		"session.json": `{"lease":60}` + "\n", "log": "the last words\n",
		"events": "started\tport=1\nexited\treason=lease\tcode=\tmessage=the lease of 60 s was not renewed\n", "secret": "x",
	})
	for range 2 { // when it is swept, and after
		found, _, err := List(t.Context(), f)
		if err != nil || len(found) != 1 || !found[0].Over || found[0].Ended == nil || found[0].Ended.How() != "the lease of 60 s was not renewed" {
			t.Fatalf("found %+v, %v", found, err)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "secret")); !os.IsNotExist(err) {
		t.Errorf("it was not swept: %v", err)
	}
	var log bytes.Buffer
	if err := Log(t.Context(), f, id, 0, 0, &log); err != nil || log.String() != "the last words\n" {
		t.Errorf("its log: %q, %v", log.String(), err)
	}
}

// A log that grows, and is turned over, comes whole and once.
func TestLogFollowed(t *testing.T) {
	t.Parallel()
	f := slurmtest.New(t)
	id := testID(t)
	dir := putSession(t, f, id, 0)
	var remote *RemoteError
	if err := Log(t.Context(), f, "anotherr", 0, 0, &bytes.Buffer{}); !errors.As(err, &remote) || remote.Kind != "gone" {
		t.Errorf("of no session: %v", err)
	}
	write := func(name, text string) {
		t.Helper()
		o, err := os.OpenFile(filepath.Join(dir, name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		defer o.Close()
		if _, err := o.WriteString(text); err != nil {
			t.Fatal(err)
		}
	}
	write("events", "started\n")
	write("log.1", "first\n")
	write("log", "second\x00\n")
	var once bytes.Buffer
	if err := Log(t.Context(), f, id, 0, 0, &once); err != nil || once.String() != "first\nsecond\x00\n" {
		t.Errorf("once: %q, %v", once.String(), err)
	}

	var got awaited
	done := make(chan error, 1)
	go func() { done <- Log(t.Context(), f, id, 0, time.Second, &got) }()
	got.await(t, "first\nsecond\x00\n")
	write("log", "third\n")
	got.await(t, "third\n")
	write("log", "fourth\n")
	if err := os.Rename(filepath.Join(dir, "log"), filepath.Join(dir, "log.1")); err != nil {
		t.Fatal(err)
	}
	write("log", "fifth\n")
	got.await(t, "fifth\n")
	write("log", "sixth\n")
	write("events", "exited\treason=exit\n")
	if err := <-done; err != nil {
		t.Error(err)
	}
	if want := "first\nsecond\x00\nthird\nfourth\nfifth\nsixth\n"; got.String() != want {
		t.Errorf("followed %q, want %q", got.String(), want)
	}
}

// Only the last lines, and then what comes.
func TestLogFromItsLastLines(t *testing.T) {
	t.Parallel()
	f := slurmtest.New(t)
	id := testID(t)
	dir := putSession(t, f, id, 0)
	for name, text := range map[string]string{"events": "started\n", "log.1": "zero\n", "log": "one\ntwo\nthree\nfou"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for last, want := range map[int]string{2: "three\nfou", 4: "one\ntwo\nthree\nfou", 9: "one\ntwo\nthree\nfou"} {
		var got bytes.Buffer
		if err := Log(t.Context(), f, id, last, 0, &got); err != nil || got.String() != want {
			t.Errorf("last %d: %q, %v, want %q", last, got.String(), err, want)
		}
	}
	var got awaited
	done := make(chan error, 1)
	go func() { done <- Log(t.Context(), f, id, 1, time.Second, &got) }()
	got.await(t, "fou")
	if err := os.WriteFile(filepath.Join(dir, "log"), []byte("one\ntwo\nthree\nfour\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	got.await(t, "four\n")
	if err := os.WriteFile(filepath.Join(dir, "events"), []byte("exited\treason=exit\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil || got.String() != "four\n" {
		t.Errorf("followed %q, %v", got.String(), err)
	}
}

// What a server has written can be read while it runs, be it one line.
func TestLogOfALiveServer(t *testing.T) {
	t.Parallel()
	f := slurmtest.New(t)
	id := testID(t)
	r := submit(t.Context(), t, f, &Submission{ID: id, Launch: Launch{Argv: serverArgv("127.0.0.1")}})
	await[Listening](r)
	var got awaited
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- Log(ctx, f, id, 0, time.Second, &got) }()
	got.await(t, "hello from "+f.Home+"\n")
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	r.letGo()
	stopFake(t, f, Stopping{ID: id})
}

// An awaited writer tells when something has been written.
type awaited struct {
	mu   sync.Mutex
	text bytes.Buffer
	cond *sync.Cond
}

func (a *awaited) Write(p []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.cond != nil {
		defer a.cond.Broadcast()
	}
	return a.text.Write(p)
}

func (a *awaited) String() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.text.String()
}

// await waits until the text ends in that.
func (a *awaited) await(t *testing.T, end string) {
	t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.cond == nil {
		a.cond = sync.NewCond(&a.mu)
	}
	late := time.AfterFunc(20*time.Second, func() { t.Errorf("%q never came", end); a.cond.Broadcast() })
	defer late.Stop()
	for !strings.HasSuffix(a.text.String(), end) && !t.Failed() {
		a.cond.Wait()
	}
}

// TestListLeavesOutSwept: a session that the list itself ends is no live session any more.
func TestListLeavesOutSwept(t *testing.T) {
	t.Parallel()
	f := slurmtest.New(t, "FAKE_QUEUE=1")
	stale, other := "aaaaaaaa", "bbbbbbbb"
	putSession(t, f, stale, 3*time.Hour)
	putSession(t, f, other, 0)
	putJob(t, f, JobName(stale))
	putJob(t, f, JobName(other))
	found, swept, err := List(t.Context(), f)
	if err != nil || len(swept) != 1 || swept[0].ID != stale || len(found) != 1 || found[0].ID != other {
		t.Errorf("found %+v, swept %+v, %v", found, swept, err)
	}
}

// TestListPassesOverAsides: what the runner reports of other sockets, of keys or of the cluster says nothing of
// how far the session has come, wherever it stands among the events.
func TestListPassesOverAsides(t *testing.T) {
	t.Parallel()
	const begun = "alive\tjob=4711\tstep=0\tnode=nid001001\tpid=1\nstarted\tnode=nid001001\tpid=2\tport=8888\n"
	for _, aside := range []string{"elsewhere\taddr=127.0.0.1\tport=9\n", "vanished\taddr=127.0.0.1\tport=9\n", "note\tmessage=x\n", "scanned\tnode=nid001001\n"} {
		f := slurmtest.New(t)
		id := testID(t)
		dir := putSession(t, f, id, 0)
		putFiles(t, dir, map[string]string{"batch": "4711\n", "events": begun + "listening\taddr=127.0.0.1\tport=8888\n" + aside})
		putJob(t, f, JobName(id))
		if found, _, err := List(t.Context(), f); err != nil || len(found) != 1 || !found[0].Serving {
			t.Errorf("%q after listening: %+v, %v", aside, found, err)
		}
		putFiles(t, dir, map[string]string{"events": begun + "exited\treason=setup\tcode=97\tmessage=no\n" + aside})
		if found, _, err := List(t.Context(), f); err != nil || len(found) != 1 || found[0].Ended == nil || found[0].Ended.Reason != "setup" {
			t.Errorf("%q after exited: %+v, %v", aside, found, err)
		}
		s := &Submission{ID: id}
		out, err := s.Follow(t.Context(), f, func(Event) error { return nil })
		if err != nil || out.Exited == nil || out.Exited.Reason != "setup" {
			t.Errorf("%q after exited: followed to %+v, %v", aside, out, err)
		}
	}
}
