package site

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const madeFile = `
[hosts.ela]
host = "127.0.0.1"
port = 4022
user = "me"
identity = "/run/m/key"
known_hosts = "/run/m/known"

[clusters.toy]
host = "login.toy"
jump = ["ela"]
user = "me"
identity = "/run/m/key"
known_hosts = "/run/m/known"
lease = "2m"
`

// TestMade: of a cluster that is made, its file says all, whatever the flags, the environment,
// config.toml and ssh's configuration say of hosts; and it is made only if it is asked for.
func TestMade(t *testing.T) {
	dir := home(t, "Host *\n  ProxyCommand false\n  User other\n  Port 99\nMatch exec false\n", "[hosts.ela]\nuser = \"other\"\nport = 77\n")
	// An ssh that is asked would make it an error.
	ssh := filepath.Join(dir, "bin", "ssh")
	if err := os.MkdirAll(filepath.Dir(ssh), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(ssh, []byte("#!/bin/sh\nexit 255\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", filepath.Dir(ssh))
	file := filepath.Join(dir, "toy.toml")
	if err := os.WriteFile(file, []byte(madeFile), 0o600); err != nil {
		t.Fatal(err)
	}
	times := 0
	made := Made{Name: "toy", Make: func(context.Context) (string, error) { times++; return file, nil }}
	c, err := Load(made)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(c.Known(), "toy") || !c.Makes("toy") || c.Makes("daint") || times != 0 {
		t.Errorf("known: %v, made %d times", c.Known(), times)
	}
	cl, err := c.Cluster(t.Context(), "toy")
	if err != nil {
		t.Fatal(err)
	}
	hosts, err := c.Route(t.Context(), cl, Overrides{User: "nobody", Identity: "/none"})
	if err != nil {
		t.Fatal(err)
	}
	host := func(name, at string, port int) Host {
		return Host{Name: name, Asked: at, HostName: at, Port: port, User: "me", Identity: "/run/m/key", IdentitiesOnly: true,
			IdentityAgent: "none", UserKnownHosts: []string{"/run/m/known"}, StrictHostKeyChecking: "yes"}
	}
	if diff := cmp.Diff([]Host{host("ela", "127.0.0.1", 4022), host("toy", "login.toy", 22)}, hosts); diff != "" {
		t.Error(diff)
	}
	if cl.Dir != dir || len(cl.Settings) != 1 || cl.Settings[0].Flag != "lease" {
		t.Errorf("dir %s, settings %v", cl.Dir, cl.Settings)
	}
}

// TestMadeFails: what cannot be made is told by whoever makes it.
func TestMadeFails(t *testing.T) {
	home(t, "", "")
	want := errors.New("no room")
	c, err := Load(Made{Name: "toy", Make: func(context.Context) (string, error) { return "", want }})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Cluster(t.Context(), "toy"); !errors.Is(err, want) {
		t.Errorf("got %v", err)
	}
}

// TestMadeGivesWay: a cluster of that name in config.toml is the one that is meant.
func TestMadeGivesWay(t *testing.T) {
	home(t, "", "[clusters.toy]\nhost = \"real.example\"\n")
	c, err := Load(Made{Name: "toy", Make: func(context.Context) (string, error) {
		t.Error("made, though config.toml has one")
		return "", nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	if c.Makes("toy") {
		t.Error("it is said to be made")
	}
	if cl, err := c.Cluster(t.Context(), "toy"); err != nil || cl.Host() != "real.example" {
		t.Errorf("%s, %v", cl.Host(), err)
	}
}

// TestKnownHosts: a file of config.toml's counts in place of those of ssh.
func TestKnownHosts(t *testing.T) {
	home(t, "", "[clusters.toy]\nhost = \"real.example\"\njump = []\nknown_hosts = \"/etc/toy\"\n")
	bothWays(t, func(t *testing.T) {
		hosts, err := route(t, "toy", Overrides{})
		if err != nil {
			t.Fatal(err)
		}
		if h := hosts[0]; !cmp.Equal(h.UserKnownHosts, []string{"/etc/toy"}) || h.GlobalKnownHosts != nil {
			t.Errorf("%v, %v", h.UserKnownHosts, h.GlobalKnownHosts)
		}
	})
}
