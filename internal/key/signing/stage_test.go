package signing

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestSweepForeign: a signing neither empties nor removes files that only have similar names.
func TestSweepForeign(t *testing.T) {
	r := request(t, newAuthority(t))
	dir := filepath.Dir(r.Path)
	thesis := filepath.Join(t.TempDir(), "thesis")
	if err := errors.Join(os.MkdirAll(dir, 0o700), os.WriteFile(thesis, []byte("thesis"), 0o600)); err != nil {
		t.Fatal(err)
	}
	hash := hashOf(realPath(r.Path))
	for _, name := range []string{".cscs-key-2025-before-reinstall", ".cscs-key-123", ".cscs-key.pub-8", ".cscs-staged-" + hash + "-aaaaaaaa-file.bak", ".cscs-staged-00000000-aaaaaaaa-file", "cscs-key-1"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("mine"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{".cscs-key-1", ".cscs-staged-" + hash + "-bbbbbbbb-file", ".cscs-old-" + hash + "-bbbbbbbb-file"} {
		if err := os.Symlink(thesis, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{".cscs-key-2", ".cscs-staged-" + hash + "-cccccccc-pub"} {
		if err := os.Link(thesis, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	want := tree(t, dir)
	delete(want, ".cscs-staged-"+hash+"-cccccccc-pub") // it has our name, and its content has another
	if _, err := Sign(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	got := tree(t, dir)
	for _, suffix := range []string{"", ".pub", "-cert.pub"} {
		delete(got, "cscs-key"+suffix)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// TestSweepLeftovers: after the next signing, nothing is left of what a killed process has made.
func TestSweepLeftovers(t *testing.T) {
	r := request(t, newAuthority(t))
	dir := filepath.Dir(r.Path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{kindStaged, kindCopy} {
		for part := range parts {
			if err := os.WriteFile(newBatch(r.Path).fileName(dir, kind, part), []byte("x"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := Sign(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if got := tree(t, dir); len(got) != len(parts) {
		t.Errorf("%v", got)
	}
}

// TestSweepOtherKey: a signing leaves alone what a simultaneous one of another key has staged.
func TestSweepOtherKey(t *testing.T) {
	a := newAuthority(t)
	a.in = make(chan struct{})
	second := request(t, a)
	first := second
	first.Service = newAuthority(t)
	second.Path += "-2"
	done := make(chan error)
	go func() {
		_, err := Sign(context.WithoutCancel(t.Context()), second)
		done <- err
	}()
	<-a.in
	_, err := Sign(t.Context(), first)
	a.in <- struct{}{}
	if err := errors.Join(err, <-done); err != nil {
		t.Error(err)
	}
}

// TestCommitNoWayBack: where what is replaced cannot get a second name, nothing is replaced.
func TestCommitNoWayBack(t *testing.T) {
	a := newAuthority(t)
	a.makes = true
	r := request(t, a)
	if _, err := Sign(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Dir(r.Path)
	pub := r.Path + ".pub"
	before := tree(t, dir)
	a.after = func(line []byte) []byte { // while the service is asked
		if err := errors.Join(os.Remove(pub), os.Mkdir(pub, 0o700)); err != nil {
			t.Error(err)
		}
		return line
	}
	var failed *WriteError
	if _, err := Sign(t.Context(), r); !errors.As(err, &failed) || failed.Path != realPath(pub) {
		t.Errorf("%v", err)
	}
	delete(before, "cscs-key.pub")
	if d := cmp.Diff(before, tree(t, dir)); d != "" {
		t.Error(d)
	}
}

// TestSweepNewerKey: what the user has put in place by hand since a kill is not replaced by what was
// there before.
func TestSweepNewerKey(t *testing.T) {
	a := newAuthority(t)
	r := request(t, a)
	result, err := Sign(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	dir, b := filepath.Dir(r.Path), newBatch(r.Path)
	before := tree(t, dir)
	staged, old := b.fileName(dir, kindStaged, 2), b.fileName(dir, kindOld, 0)
	ago := time.Now().Add(-time.Minute)
	err = errors.Join(os.WriteFile(old, []byte("the key of before"), 0o600), os.WriteFile(staged, []byte("the new certificate"), 0o600), os.Chtimes(staged, ago, ago))
	if err != nil {
		t.Fatal(err)
	}
	a.err = errors.New("no")
	if _, err := Sign(t.Context(), r); !errors.Is(err, a.err) {
		t.Errorf("%v", err)
	}
	if d := cmp.Diff(before, tree(t, dir)); d != "" {
		t.Errorf("%s: %s", result.Path, d)
	}
}
