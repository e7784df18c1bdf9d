package site

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestAliasSets: what a block of the user's sets for a name that it gives no way is known, and
// what it says of any host is not taken for that.
func TestAliasSets(t *testing.T) {
	bothWays(t, func(t *testing.T) {
		dir := home(t, `
Host daint
  User me
Host eiger
  Port 23
  IdentityFile ~/.ssh/mine
Host clariden
  HostName c.example.org
  User me
Host *
  IdentityFile ~/.ssh/any
`, "")
		c, err := Load()
		if err != nil {
			t.Fatal(err)
		}
		all, err := c.Aliases(t.Context(), dir+"/.ssh/config", Overrides{})
		if err != nil {
			t.Fatal(err)
		}
		got := map[string][]string{}
		for _, a := range all {
			if a.Own {
				got[a.Name] = []string{"own"}
			} else if a.Sets != nil {
				got[a.Name] = a.Sets
			}
		}
		want := map[string][]string{"daint": {"User"}, "eiger": {"Port", "IdentityFile"}, "clariden": {"own"}}
		if d := cmp.Diff(want, got); d != "" {
			t.Error(d)
		}
	})
}

// TestAliasSetsForSessions: what is set for sessions' names is not taken for what is said of any host.
func TestAliasSetsForSessions(t *testing.T) {
	bothWays(t, func(t *testing.T) {
		dir := home(t, "Host cscs-*\n  User me\n  IdentityFile ~/.ssh/mine\n", "")
		c, err := Load()
		if err != nil {
			t.Fatal(err)
		}
		all, err := c.Aliases(t.Context(), dir+"/.ssh/config", Overrides{})
		if err != nil {
			t.Fatal(err)
		}
		if len(all) < 7 {
			t.Errorf("names: %+v", all)
		}
		for _, a := range all {
			if a.Own || len(a.Sets) > 0 {
				t.Errorf("%s: %v, %v", a.Name, a.Own, a.Sets)
			}
		}
		sets, err := c.SetFor(t.Context(), dir+"/.ssh/config", "cscs-k7")
		if d := cmp.Diff([]string{"User", "IdentityFile"}, sets); d != "" || err != nil {
			t.Error(d, err)
		}
	})
}
