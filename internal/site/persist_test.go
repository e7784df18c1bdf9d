package site

import (
	"slices"
	"testing"
)

// TestPersistSetting: a cluster's own persist counts before that of the top level, which holds for every
// cluster.
func TestPersistSetting(t *testing.T) {
	home(t, "Host lab\n  HostName lab.example.org\n", `
persist = "10m"
[clusters.daint]
persist = "1h"
time = "2h"
`)
	c, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	for cluster, want := range map[string]string{"daint": "1h", "eiger": "10m", "lab": "10m"} {
		cl, err := c.Cluster(t.Context(), cluster)
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(cl.Settings, func(s Setting) bool { return s.Flag == "persist" })
		if i < 0 || !slices.Equal(cl.Settings[i].Values, []string{want}) || cl.Settings[i].Pos.Line == 0 {
			t.Errorf("%s: %+v, want %s", cluster, cl.Settings, want)
		}
	}
	if cl, _ := c.Cluster(t.Context(), "eiger"); len(cl.Settings) != 1 {
		t.Errorf("asked again: %+v", cl.Settings)
	}
}
