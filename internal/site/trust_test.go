package site

import (
	"strings"
	"testing"

	"github.com/alps-tunnel/cscs/internal/hostiletest"
)

// TestHostileClusters: what no host can be called is no cluster, and ssh is not asked.
func TestHostileClusters(t *testing.T) {
	bothWays(t, func(t *testing.T) {
		home(t, "Host *\n  HostName a.example.org\n", "")
		c, err := Load()
		if err != nil {
			t.Fatal(err)
		}
		for _, word := range hostiletest.Words {
			if word == ".." || strings.Trim(word, "1") == "" {
				continue // harmless to ssh
			}
			cl, err := c.Cluster(t.Context(), word)
			if err == nil {
				_, err = c.Route(t.Context(), cl, Overrides{})
			}
			if err == nil || strings.ContainsAny(err.Error(), "\n\t\x00\x1b") {
				t.Errorf("%q: %v", word, err)
			}
		}
	})
}

func TestPlainHost(t *testing.T) {
	for _, word := range hostiletest.Words {
		if word != ".." && plainHost(word) && word != "ａ" {
			t.Errorf("%q is plain", word)
		}
	}
	for _, name := range []string{"daint", "daint.cscs.ch", "::1", "fe80::1%eth0", "148.187.1.1", "a_b", "exämple.org"} {
		if !plainHost(name) {
			t.Errorf("%q is not plain", name)
		}
	}
}
