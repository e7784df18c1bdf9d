package sshconfig

import (
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// atHome are files in the .ssh of a home directory, which is the one that ssh means by ~ in an
// Include.
func atHome(t *testing.T, home string) Files {
	t.Helper()
	t.Setenv("HOME", home)
	return In(filepath.Join(home, ".ssh", "config"), filepath.Join(home, "state", "known_hosts"))
}

// fromPasswd is a path as it is seen from the home directory of the user database.
func fromPasswd(t *testing.T, path string) string {
	t.Helper()
	rel, err := filepath.Rel(passwdHome(), path)
	if err != nil {
		t.Fatal(err)
	}
	return rel
}

// TestSpellings: a line of the user's that includes our file stays as it is and is reported. Where ssh
// reads our file by it, nothing else is added. Install leaves out what the other files say of a host.
func TestSpellings(t *testing.T) {
	u, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	fromUser := fromPasswd(t, filepath.Join(dir, ".ssh", "cscs_config"))
	for _, tt := range []struct {
		spelled string
		other   bool // includes ~/.ssh/cscs_configs too
		not     bool // does not include our file
	}{
		{spelled: "Include ~/.ssh/cscs_config"},
		{spelled: "Include ~/.ssh/cscs_config #mine\r"},
		{spelled: "\tinclude=~/.ssh/cscs_config \f"},
		{spelled: `"Include" cscs"_conf"'ig'`},
		{spelled: "Include ./../.ssh//cscs_config"},
		{spelled: "Include cscs_config cscs_config"},
		{spelled: "Include " + link + "/.ssh/cscs_config"},
		{spelled: "Include ~" + u.Username + "/" + fromUser},
		{spelled: "Include %d/" + fromUser},
		{spelled: "Include ${HOME}/.ssh/cscs_config"},
		{spelled: "Include  cscs_configs  cscs_config  # both\r", other: true},
		{spelled: "Include cscs_config =x cscs_configs", other: true},
		{spelled: "Include none cscs_config"},
		{spelled: "Include ~/.ssh/cscs_conf*", other: true},
		{spelled: "Include cscs_con[!a][[:alpha:]]g"},
		{spelled: "Include %d/" + strings.Replace(fromUser, "cscs_config", "cscs_conf*", 1), other: true},
		{spelled: "Include cscs_config#x", not: true},
		{spelled: "#Include cscs_config", not: true},
		{spelled: "Include .ssh/cscs_config", not: true},
		{spelled: `Include cscs_conf\*`, not: true},
		{spelled: "Include cscs_configs", other: true, not: true},
	} {
		t.Run(tt.spelled, func(t *testing.T) {
			f := atHome(t, dir)
			write(t, filepath.Join(dir, ".ssh", "cscs_configs"), "Host daint\n    Port 77\n", 0o600)
			before := tt.spelled + "\nHost x\n    User y\n"
			write(t, f.Config, before, 0o600)
			write(t, f.Part, text(t), 0o600)
			want, own := before, []string{strings.TrimSpace(tt.spelled)}
			reads := asked(t, f.Config, "daint")["hostname"] == "daint.alps.cscs.ch"
			tokens := strings.ContainsAny(tt.spelled, "%$") // not known to OpenSSH before 9.9
			if !tokens && reads == tt.not {
				t.Fatalf("ssh reads our file by it: %v", reads)
			}
			if !reads {
				want, own = f.block()+before, nil
			}
			for range 2 {
				without, done, err := f.Without(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				got := asked(t, without, "daint")
				if got["hostname"] != "daint" {
					t.Errorf("ours is not hidden: %s", read(t, without))
				}
				if has := got["port"] == "77"; has != tt.other && (reads || !tokens) {
					t.Errorf("the other file of the line is seen: %v; %s", has, read(t, without))
				}
				if got := asked(t, without, "x"); got["user"] != "y" {
					t.Errorf("the rest is not seen: %s", read(t, without))
				}
				done()
				if left, err := f.Install(t.Context(), text(t)); err != nil || !slices.Equal(left, own) {
					t.Fatalf("left: %q, want %q; %v", left, own, err)
				}
				if got := read(t, f.Config); got != want {
					t.Fatalf("got %q, want %q", got, want)
				}
				if got := asked(t, f.Config, "daint"); got["hostname"] != "daint.alps.cscs.ch" {
					t.Errorf("daint is %s", got["hostname"])
				}
			}

			if left, err := f.Uninstall(t.Context()); err != nil || !slices.Equal(left, own) {
				t.Errorf("left: %q, want %q; %v", left, own, err)
			}
			if got := read(t, f.Config); got != before {
				t.Errorf("after uninstalling: %q, want %q", got, before)
			}
			if got := asked(t, f.Config, "daint"); got["hostname"] != "daint" {
				t.Errorf("daint is %s still", got["hostname"])
			}
		})
	}
}

// TestBehindBlock: what includes ours behind the beginning of a section is not enough, and stays.
func TestBehindBlock(t *testing.T) {
	f := atHome(t, t.TempDir())
	before := "Host x\nInclude cscs_config # mine\nMatch all\nInclude none cscs_config\n"
	write(t, f.Config, before, 0o600)
	own := []string{"Include cscs_config # mine", "Include none cscs_config"}
	for range 2 {
		if left, err := f.Install(t.Context(), text(t)); err != nil || !slices.Equal(left, own) {
			t.Errorf("left: %q, %v", left, err)
		}
		if got, want := read(t, f.Config), f.block()+before; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if left, err := f.Uninstall(t.Context()); err != nil || !slices.Equal(left, own) {
		t.Errorf("left: %q, %v", left, err)
	}
	if got := read(t, f.Config); got != before {
		t.Errorf("got %q, want %q", got, before)
	}
}

// TestOddHome: our block includes our file in whatever directory that is, and so does a line of the user's.
func TestOddHome(t *testing.T) {
	for _, name := range []string{"a b", "a[b]*", "100%d", `q"'q`, `back\slash`, "${HOME}", "#x"} {
		t.Run(name, func(t *testing.T) {
			f := atHome(t, filepath.Join(t.TempDir(), name))
			write(t, f.Config, "Host x\n", 0o600)
			s, err := Text([]Host{{Name: "daint", HostName: "daint.alps.cscs.ch"}}, nil, Sessions{Proxy: "p", KnownHosts: "/k"})
			if err != nil {
				t.Fatal(err)
			}
			for range 2 {
				if _, err := f.Install(t.Context(), s); err != nil {
					t.Fatal(err)
				}
				if got := read(t, f.Config); got != f.block()+"Host x\n" {
					t.Errorf("got %q", got)
				}
				if got := asked(t, f.Config, "daint"); got["hostname"] != "daint.alps.cscs.ch" {
					t.Errorf("daint is %s", got["hostname"])
				}
			}
			if _, err := f.Uninstall(t.Context()); err != nil || read(t, f.Config) != "Host x\n" {
				t.Errorf("got %v, %q", err, read(t, f.Config))
			}
			own := f.includeLine() + " # mine"
			write(t, f.Config, own+"\nHost x\n", 0o600)
			if left, err := f.Install(t.Context(), s); err != nil || !slices.Equal(left, []string{own}) || read(t, f.Config) != own+"\nHost x\n" {
				t.Errorf("got %q, %v, %q", left, err, read(t, f.Config))
			}
		})
	}
}

// TestHideQuotes: the other files of a pattern are named so that ssh finds each, in their order.
func TestHideQuotes(t *testing.T) {
	f := atHome(t, t.TempDir())
	write(t, f.Part, text(t), 0o600)
	write(t, f.Config, "Include c*_config\nInclude cscs_config b\n", 0o600)
	for i, name := range []string{"c${1_config", "c*_config", `c\2_config`, "c a_config", "c%d_config", "c'\"_config", "c[a]_config"} {
		write(t, filepath.Join(filepath.Dir(f.Part), name), "Host h"+string(rune('0'+i))+"\n    User u\nHost *\n    SetEnv A=1\n    IdentityFile /"+string(rune('0'+i))+"\n", 0o600)
	}
	without, done, err := f.Without(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	got, want := asked(t, without, "x"), asked(t, f.Config, "x")
	if got["identityfiles"] != want["identityfiles"] || strings.Count(want["identityfiles"], "\n") != 7 {
		t.Errorf("got %q, want %q, of %s", got["identityfiles"], want["identityfiles"], read(t, without))
	}
	if got := asked(t, without, "daint"); got["hostname"] != "daint" {
		t.Errorf("daint is %s", got["hostname"])
	}
}

// TestHideNested: what another file includes of ours is not seen either; the rest of that is, and
// nothing stays of what was made for it.
func TestHideNested(t *testing.T) {
	f := atHome(t, t.TempDir())
	dir := filepath.Dir(f.Part)
	t.Setenv("TMPDIR", t.TempDir())
	write(t, f.Part, text(t), 0o600)
	write(t, f.Config, "Include conf.d/*\nHost x\n    User y\n", 0o600)
	write(t, filepath.Join(dir, "conf.d", "1"), "Include deeper # ours\nHost daint\n    Port 77\n", 0o600)
	write(t, filepath.Join(dir, "conf.d", "2"), "Host daint\n    Port 78\n    User two\n", 0o600)
	write(t, filepath.Join(dir, "deeper"), "Include cscs_conf*\nInclude conf.none\nHost x\n    Port 79\n", 0o600)
	if got := asked(t, f.Config, "daint"); got["hostname"] != "daint.alps.cscs.ch" {
		t.Fatalf("ssh does not read ours: daint is %s", got["hostname"])
	}
	without, done, err := f.Without(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got := asked(t, without, "daint"); got["hostname"] != "daint" || got["port"] != "77" || got["user"] != "two" {
		t.Errorf("daint is %s, port %s, user %s, of %s", got["hostname"], got["port"], got["user"], read(t, without))
	}
	if got := asked(t, without, "x"); got["port"] != "79" || got["user"] != "y" {
		t.Errorf("x has port %s, user %s", got["port"], got["user"])
	}
	done()
	if left, _ := filepath.Glob(filepath.Join(os.TempDir(), "*")); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	// Files that include themselves, ssh refuses; they are not followed for ever.
	for _, name := range []string{"1", "2", "3", "4", "5", "6", "7", "8"} {
		write(t, filepath.Join(dir, "conf.d", name), "Include conf.d/*\n", 0o600)
	}
	if without, done, err = f.Without(t.Context()); err != nil || without != f.Config {
		t.Errorf("got %s, %v", without, err)
	}
	done()
}

// TestNoSSH: without ssh, Install checks nothing, and does not know which files the user's lines include.
func TestNoSSH(t *testing.T) {
	f := atHome(t, t.TempDir())
	t.Setenv("PATH", t.TempDir())
	write(t, f.Config, "Include cscs_config # mine\n", 0o600)
	if own, err := f.Install(t.Context(), text(t)); err != nil || len(own) > 0 || read(t, f.Config) != f.block()+"Include cscs_config # mine\n" {
		t.Errorf("got %v, %q, %q", err, own, read(t, f.Config))
	}
	if _, err := f.Uninstall(t.Context()); err != nil || read(t, f.Config) != "Include cscs_config # mine\n" {
		t.Errorf("got %v, %q", err, read(t, f.Config))
	}
}
