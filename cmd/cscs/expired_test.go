package main

import (
	"errors"
	"testing"
	"time"

	"github.com/alps-tunnel/cscs/internal/paths"
	"github.com/alps-tunnel/cscs/internal/registry"
)

// TestExpiredRecord: a session that is over by this machine's clock may live: the clock may be ahead.
// Its record stays until the cluster says that it is over.
func TestExpiredRecord(t *testing.T) {
	state := t.TempDir()
	t.Setenv("XDG_STATE_HOME", state)
	dir, err := paths.StateDir()
	if err != nil {
		t.Fatal(err)
	}
	leave := func(id string, ends time.Time) {
		t.Helper()
		e, err := registry.Open(dir).Take(registry.Record{ID: id, Cluster: "daint", State: registry.Detached, Ends: &ends})
		if err != nil {
			t.Fatal(err)
		}
		e.Leave()
	}
	leave("aaaaaaaa", time.Now().Add(-time.Hour))
	for range 2 { // the first has removed nothing
		_, all, err := loadRecords()
		if err != nil || len(all) != 1 || !all[0].Expired || all[0].State != registry.Detached {
			t.Fatalf("%+v, %v", all, err)
		}
		if r := rowOf(all[0]); r.State != registry.Detached || r.Reason == "" {
			t.Errorf("the row %+v", r)
		}
		if l, err := theSession(nil); err != nil || l.ID != "aaaaaaaa" {
			t.Errorf("the only session: %+v, %v", l, err)
		}
	}
	leave("bbbbbbbb", time.Now().Add(time.Hour))
	if l, err := theSession(nil); err != nil || l.ID != "bbbbbbbb" || l.Expired {
		t.Errorf("the only session that lives for certain: %+v, %v", l, err)
	}
	if l, err := theSession([]string{"aaa"}); err != nil || l.ID != "aaaaaaaa" {
		t.Errorf("by its ID: %+v, %v", l, err)
	}
	leave("cccccccc", time.Now().Add(time.Hour))
	if _, err := theSession(nil); !errors.As(err, new(*registry.AmbiguousError)) {
		t.Errorf("two that live: %v", err)
	}
}
