package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/alps-tunnel/cscs/forward/chain"
	"github.com/alps-tunnel/cscs/internal/key"
	"github.com/alps-tunnel/cscs/internal/problem"
	"github.com/alps-tunnel/cscs/session"
)

// TestRefusedWhileItEnds: what a refused key comes from takes nothing away from the job that
// may be left.
func TestRefusedWhileItEnds(t *testing.T) {
	cert := &ssh.Certificate{ValidBefore: uint64(time.Now().Add(-time.Hour).Unix())}
	r := &Route{keys: []*key.Identity{{Path: "k", CertPath: "k-cert.pub", Cert: cert}}}
	err := r.RefusalCause(&session.TeardownError{Name: "cscs-x", Cluster: "daint", Host: "daint", Err: &chain.AuthError{Hop: "ela", User: "alice"}})
	var expired *key.ExpiredError
	if p := problem.Of(err); p.Code != problem.Remains || !errors.As(err, &expired) {
		t.Errorf("%+v", p)
	}
}

// TestDoctorsKnownHosts: a line that does not count is told once, though each host of the route
// reads the file.
func TestDoctorsKnownHosts(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("XDG_CONFIG_HOME", "")
	t.Setenv("SSH_AUTH_SOCK", "")
	known := filepath.Join(home, "known")
	for name, text := range map[string]string{known: "ela nonsense\n", filepath.Join(home, "config.toml"): "[hosts.ela]\nknown_hosts = \"" + known + "\"\n[clusters.daint]\nknown_hosts = \"" + known + "\"\n"} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("CSCS_CONFIG", filepath.Join(home, "config.toml"))
	dw := newDeps(nil).findCheckTarget(context.Background(), &options{}, "daint", &key.Ring{}, nil)
	var passed *chain.PassedOverError
	if len(dw.Note) != 1 || !errors.As(dw.Note[0], &passed) || passed.Line != 1 || passed.File != known || len(dw.Known) != 2 {
		t.Errorf("%v of %d hosts, %v", dw.Note, len(dw.Known), dw.HostsErr)
	}
}
