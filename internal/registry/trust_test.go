package registry

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alps-tunnel/cscs/internal/hostiletest"
	"github.com/alps-tunnel/cscs/internal/sessionid"
)

// TestIDsOfRecords: a record is neither made, read nor removed under a name that is no ID.
func TestIDsOfRecords(t *testing.T) {
	state := t.TempDir()
	s := Open(state)
	take(t, s, Record{ID: "abcdefgh", State: Detached}).Leave()
	outside := filepath.Join(state, "x.json")
	if err := os.WriteFile(outside, []byte(`{"v":1,"id":"../x","state":"detached"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, id := range append(hostiletest.IDs, "../x") {
		var bad *sessionid.Error
		if e, err := s.Take(Record{ID: id}); !errors.As(err, &bad) {
			t.Errorf("%q: taken: %v", id, err)
			if e != nil {
				_ = e.Remove()
			}
		}
		if g, err := s.Join(id, 7); !errors.As(err, &bad) {
			t.Errorf("%q: joined: %v", id, err)
			g.Leave()
		}
		if err := s.Forget(id); !errors.As(err, &bad) {
			t.Errorf("%q: forgotten: %v", id, err)
		}
		if c, err := Serve(s.Dir(), id, attending{}); !errors.As(err, &bad) {
			t.Errorf("%q: served: %v", id, err)
			if c != nil {
				c.Close(Outcome{})
			}
		}
		if _, err := Find([]Listed{{Record: Record{ID: "abcdefgh"}}}, id); err == nil && id != "" && !strings.HasPrefix("abcdefgh", strings.ToLower(id)) {
			t.Errorf("%q: found", id)
		}
		if strings.ContainsAny(id, "/\x00") || id == "" || len(id) > 200 {
			continue // which is no file's name
		}
		b, err := json.Marshal(Record{V: 1, ID: id, State: Detached})
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{id + ".json", id + ".7" + guestSuffix} {
			if err := os.WriteFile(filepath.Join(s.Dir(), name), b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	if all := list(t, s); len(all) != 1 || all[0].ID != "abcdefgh" {
		t.Errorf("listed %+v", all)
	}
	if _, err := os.Stat(outside); err != nil {
		t.Error(err)
	}
}

// TestBadRecords: a record that is broken, or of another session, is passed over.
func TestBadRecords(t *testing.T) {
	s := Open(t.TempDir())
	take(t, s, Record{ID: "abcdefgh", State: Detached}).Leave()
	for id, text := range map[string]string{
		"bcdefgha": `{"v":1,"id":"abcdefgh","state":"ready"}`, // another's
		"cdefghab": `{"v":1,"id":"cdefghab"`,
		"defghabc": strings.Repeat("{", 1<<16),
		"efghabcd": "",
	} {
		if err := os.WriteFile(filepath.Join(s.Dir(), id+".json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(s.Dir(), "fghabcde.json"), 0o700); err != nil {
		t.Fatal(err)
	}
	if all := list(t, s); len(all) != 1 || all[0].ID != "abcdefgh" {
		t.Errorf("listed %+v", all)
	}
}

// TestRecordOfAnotherVersion: a record and a note that another version of cscs wrote are read as far as they are known,
// and lose nothing when this version writes them (docs/compatibility.md).
func TestRecordOfAnotherVersion(t *testing.T) {
	s := Open(t.TempDir())
	take(t, s, Record{ID: "abcdefgh", State: Detached}).Leave()
	if err := os.WriteFile(filepath.Join(s.Dir(), "bcdefgha.json"), []byte(`{"v":2,"id":"bcdefgha","state":"detached","cluster":"daint","colour":"red"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	all := list(t, s)
	if i := slices.IndexFunc(all, func(l Listed) bool { return l.ID == "bcdefgha" }); i < 0 || all[i].Cluster != "daint" || all[i].State != Detached {
		t.Errorf("listed %+v", all)
	}
	now := time.Now()
	note := `{"v":2,"id":"cdefghab","cluster":"daint","colour":"red","ended":"` + now.Add(-time.Hour).UTC().Format(time.RFC3339) + `"}`
	if err := os.WriteFile(s.endedPath(), []byte(note+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if ended := s.Ended(now); len(ended) != 1 || ended[0].Cluster != "daint" {
		t.Errorf("ended: %+v", ended)
	}
	// To attend the session, and to add and remove notes, changes what this version knows, and keeps the rest.
	e := take(t, s, Record{ID: "bcdefgha", State: Starting})
	if err := e.Write(Record{State: Ready, Job: "7"}); err != nil {
		t.Fatal(err)
	}
	e.Leave()
	for _, id := range []string{"defghabc", "efghabcd"} {
		if err := s.NoteEnded(Ended{ID: id, Ended: now}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.RemoveEnded("defghabc"); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string][]string{
		filepath.Join(s.Dir(), "bcdefgha.json"): {`"v": 1`, `"state": "ready"`, `"job": "7"`, `"colour": "red"`},
		s.endedPath():                           {`"id":"cdefghab"`, `"colour":"red"}`, `"id":"efghabcd"`},
	} {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range want {
			if strings.Count(string(text), w) != 1 {
				t.Errorf("%q is not once in %s:\n%s", w, path, text)
			}
		}
	}
}

// TestRecordOfAnotherSession: the fields of a file that is no record of the session are not kept.
func TestRecordOfAnotherSession(t *testing.T) {
	for _, text := range []string{`{"id":"bcdefgha","colour":"red"}`, `{"id":7,"colour":"red"}`, `{"colour":"red"}`, `["colour"]`, `colour`} {
		s := Open(t.TempDir())
		take(t, s, Record{ID: "cdefghab"}).Leave()
		path := filepath.Join(s.Dir(), "abcdefgh.json")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		take(t, s, Record{ID: "abcdefgh"}).Leave()
		if got, err := os.ReadFile(path); err != nil || strings.Contains(string(got), "colour") {
			t.Errorf("%s: %s, %v", text, got, err)
		}
	}
}
