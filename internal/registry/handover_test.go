package registry

import (
	"os"
	"testing"
)

// TestHandOver: a process that leaves a session does not remove the control socket of the one that
// has taken its place.
func TestHandOver(t *testing.T) {
	for name, end := range map[string]func(*Entry) error{
		"left":    func(e *Entry) error { e.Leave(); return nil },
		"removed": (*Entry).Remove,
	} {
		t.Run(name, func(t *testing.T) {
			s := Open(t.TempDir())
			first := take(t, s, Record{ID: "abcdefgh", State: Ready})
			old, err := first.Serve(attending{})
			if err != nil {
				t.Fatal(err)
			}
			if err := end(first); err != nil {
				t.Fatal(err)
			}
			if _, err := os.Lstat(old.Path()); !os.IsNotExist(err) {
				t.Errorf("the socket of the first is left: %v", err)
			}
			second := take(t, s, Record{ID: "abcdefgh", State: Ready})
			c, err := second.Serve(attending{})
			if err != nil {
				t.Fatal(err)
			}
			old.Close(Outcome{})
			if _, err := Reach(Record{ID: "abcdefgh", Control: c.Path()}).Link(t.Context()); err != nil {
				t.Errorf("the second is not reached: %v", err)
			}
			if err := second.Remove(); err != nil {
				t.Error(err)
			}
			c.Close(Outcome{})
			if _, err := os.Lstat(s.Dir()); !os.IsNotExist(err) {
				t.Errorf("something is left: %v", err)
			}
		})
	}
}
