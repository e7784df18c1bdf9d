package slurm

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alps-tunnel/cscs/internal/slurmtest"
	"github.com/alps-tunnel/cscs/internal/waittest"
)

// Two that attend a session end it at once: one brings the log home and removes what is
// there, and the other does not wait for what it will never get.
func TestStopTwiceAtOnce(t *testing.T) {
	t.Parallel()
	f := slurmtest.New(t)
	for i := range 5 {
		id := testID(t)[:7] + string("abcde"[i]) // what is left of the last session's job still looks for its files
		r := submit(t.Context(), t, f, &Submission{ID: id, Launch: Launch{Argv: serverArgv("127.0.0.1"), Grace: 5 * time.Second}})
		await[Listening](r)
		r.letGo()
		r.wait()
		var logs [2]bytes.Buffer
		var stops sync.WaitGroup
		began := time.Now()
		for i := range logs {
			stops.Go(func() {
				if _, err := Stop(t.Context(), f, Stopping{ID: id, Step: AnyStep, Grace: 5 * time.Second, Log: &logs[i]}); err != nil {
					t.Errorf("stop %d: %v", i, err)
				}
			})
		}
		stops.Wait()
		if d := time.Since(began); d > 15*time.Second {
			t.Errorf("it took %v", d)
		}
		if !bytes.Contains(append(logs[0].Bytes(), logs[1].Bytes()...), []byte("hello from")) {
			t.Errorf("no stop has the log: %q, %q", &logs[0], &logs[1])
		}
		if jobs := f.Jobs(); len(jobs) > 0 {
			t.Errorf("jobs left: %v", jobs)
		}
		if _, err := os.Stat(filepath.Join(f.Home, ".cscs", "fake", id)); !os.IsNotExist(err) {
			t.Errorf("the session's directory is left: %v", err)
		}
	}
}

// Slurm answers and still has the job after all tries: Stop says so, with the job's number, and
// keeps what the job may need.
func TestStopRemains(t *testing.T) {
	t.Parallel()
	f := slurmtest.New(t)
	id := testID(t)
	r := submit(t.Context(), t, f, &Submission{ID: id, Launch: Launch{Argv: serverArgv("127.0.0.1"), Grace: time.Second}})
	await[Listening](r)
	r.letGo()
	r.wait()
	f.Busy(true)
	var log bytes.Buffer
	_, err := Stop(t.Context(), f, Stopping{ID: id, Log: &log})
	var remains *RemainsError
	if !errors.As(err, &remains) || remains.Job != "4711" || remains.Name != JobName(id) {
		t.Errorf("stop: %v", err)
	}
	if jobs := f.Jobs(); len(jobs) != 1 {
		t.Errorf("jobs: %v", jobs)
	}
	if _, err := os.Stat(filepath.Join(f.Home, ".cscs", "fake", id, "events")); err != nil || log.Len() > 0 {
		t.Errorf("the session's directory: %v; log %q", err, &log)
	}
	f.Busy(false)
	stopFake(t, f, Stopping{ID: id})
}

// A client that comes back when the session was stopped meanwhile learns just that, though
// nothing of the session is left.
func TestFollowAfterStop(t *testing.T) {
	t.Parallel()
	f := slurmtest.New(t)
	id := testID(t)
	s := &Submission{ID: id, Launch: Launch{Argv: serverArgv("127.0.0.1"), Grace: 5 * time.Second}}
	ctx, lose := context.WithCancel(t.Context())
	r := submit(ctx, t, f, s)
	await[Listening](r)
	lose()
	r.wait()
	stopFake(t, f, Stopping{ID: id, Step: AnyStep, Grace: 5 * time.Second})
	back := &Submission{ID: id, Launch: s.Launch}
	out, err := back.Follow(t.Context(), f, func(Event) error { return nil })
	if err != nil || !out.Asked() {
		t.Errorf("asked: %v, error %v", out.Asked(), err)
	}
}

// Somebody kills the command while it waits for the server to end: that is for the caller to try
// again, and says nothing of the job.
func TestStopKilled(t *testing.T) {
	t.Parallel()
	f := slurmtest.New(t)
	id := testID(t)
	stubborn := []string{"bash", "-c", `trap "" TERM; exec "$@"`, "bash"}
	r := submit(t.Context(), t, f, &Submission{ID: id, Launch: Launch{Argv: append(stubborn, serverArgv("127.0.0.1")...), Grace: 30 * time.Second}})
	await[Listening](r)
	r.letGo()
	r.wait()
	stopped := make(chan error, 1)
	go func() {
		_, err := Stop(t.Context(), f, Stopping{ID: id, Step: AnyStep, Grace: 30 * time.Second})
		stopped <- err
	}()
	waittest.Until(t, 10*time.Second, "a word to the runner", func() bool { return strings.Contains(f.Calls(), "--signal=URG") })
	f.KillLogin()
	if err := <-stopped; !errors.Is(err, ErrCut) {
		t.Errorf("ended with %v", err)
	}
	stopFake(t, f, Stopping{ID: id})
}

// TestStopOnNFS: on a home that is NFS, a file that a process has open stays under another name when it is
// removed, and so does its directory. A stop that has handed over the log leaves neither.
func TestStopOnNFS(t *testing.T) {
	t.Parallel()
	f := slurmtest.New(t)
	bin := t.TempDir()
	// rm as an NFS client has it: what a process of this host has open gets another name, and keeps that.
	const rm = `#!/bin/bash -p
is_open() {
	local fd
	while IFS= read -r fd; do
		grep -qz '^FAKE_ON=node' "${fd%/fd/*}/environ" || return 0
	done < <(find -L /proc/[0-9]*/fd -maxdepth 1 -inum "$(stat -c %i "$1")" 2>/dev/null)
	return 1
}
args=()
for file in "$@"; do
	if [[ $file == */@(log|.nfs)* ]] && is_open "$file"; then
		[[ $file == */.nfs* ]] || mv "$file" "${file%/*}/.nfs${file##*/}"
	else
		args+=("$file")
	fi
done
exec /bin/rm "${args[@]}"
`
	if err := os.WriteFile(filepath.Join(bin, "rm"), []byte(rm), 0o700); err != nil {
		t.Fatal(err)
	}
	f.PutFirst(bin)
	id := testID(t)
	r := submit(t.Context(), t, f, &Submission{ID: id, Launch: Launch{Argv: serverArgv("127.0.0.1"), Grace: time.Second}})
	await[Listening](r)
	r.letGo()
	r.wait()
	if log, _ := stopFake(t, f, Stopping{ID: id, Step: AnyStep, Grace: time.Second}); !strings.Contains(log, "hello from") {
		t.Errorf("log %q", log)
	}
	dir := filepath.Join(f.Home, ".cscs", "fake", id)
	entries, err := os.ReadDir(dir)
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s is there, with %v", dir, entries)
	}
}
