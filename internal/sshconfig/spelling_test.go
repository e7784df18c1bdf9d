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

// TestSpellings: however a line of the user's includes our file, ssh and we mean the same by it.
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
		spelled, after string // after --uninstall
		other, left    bool   // includes ~/.ssh/cscs_configs too; stays
	}{
		{spelled: "Include ~/.ssh/cscs_config"},
		{spelled: "Include ~/.ssh/cscs_config # mine"},
		{spelled: "Include ~/.ssh/cscs_config #mine\r"},
		{spelled: "\tinclude=~/.ssh/cscs_config \f"},
		{spelled: `"Include" cscs_config`},
		{spelled: "Include cscs_config"},
		{spelled: "Include 'cscs_config'"},
		{spelled: `Include cscs"_conf"'ig'`},
		{spelled: `Include cscs\_config`},
		{spelled: "Include ./../.ssh//cscs_config"},
		{spelled: "Include cscs_config cscs_config"},
		{spelled: "Include " + link + "/.ssh/cscs_config"},
		{spelled: "Include ~" + u.Username + "/" + fromUser},
		{spelled: "Include %d/" + fromUser},
		{spelled: "Include %d/" + fromUser + " # mine"},
		{spelled: "Include ${HOME}/.ssh/cscs_config"},
		{spelled: "Include cscs_config cscs_configs", after: "Include cscs_configs", other: true},
		{spelled: "Include  cscs_configs  cscs_config  # both\r", after: "Include  cscs_configs  # both\r", other: true},
		{spelled: `Include="cscs_configs" cscs_config`, after: `Include="cscs_configs"`, other: true},
		{spelled: "Include cscs_config =x cscs_configs", after: "Include = =x cscs_configs", other: true},
		{spelled: "Include none cscs_config", after: "Include none"},
		{spelled: "Include ~/.ssh/cscs_conf*", other: true, left: true},
		{spelled: "Include cscs_config? cscs_config", after: "Include cscs_config?", other: true},
		{spelled: "Include cscs_conf[a-i]g", left: true},
		{spelled: "Include cscs_con[!a][[:alpha:]]g", left: true},
		{spelled: "Include ../.s[s]h/cscs_config", left: true},
		{spelled: "Include %d/" + strings.Replace(fromUser, "cscs_config", "cscs_conf*", 1), other: true, left: true},
	} {
		t.Run(tt.spelled, func(t *testing.T) {
			f := atHome(t, dir)
			other := filepath.Join(dir, ".ssh", "cscs_configs")
			write(t, other, "Host daint\n    Port 77\n", 0o600)
			const rest = "Host x\n    User y\n"
			before := tt.spelled + "\n" + rest
			write(t, f.Config, before, 0o600)
			write(t, f.Part, text(t), 0o600)
			want := before
			tokens := strings.ContainsAny(tt.spelled, "%$")
			if tokens && !f.isPartRead(t.Context(), []byte(tt.spelled)) { // OpenSSH before 9.9
				if want = f.includeLine() + "\n" + before; !tt.left {
					want = f.includeLine() + "\n" + rest
				}
			} else if got := asked(t, f.Config, "daint"); got["hostname"] != "daint.alps.cscs.ch" {
				t.Fatalf("ssh does not read it so: daint is %s", got["hostname"])
			}

			for range 2 {
				without, done, err := f.Without()
				if err != nil {
					t.Fatal(err)
				}
				got := asked(t, without, "daint")
				if got["hostname"] != "daint" {
					t.Errorf("ours is not hidden: %s", read(t, without))
				}
				if has := got["port"] == "77"; has != tt.other && (!tokens || want == before) {
					t.Errorf("the other file of the line is seen: %v; %s", has, read(t, without))
				}
				if got := asked(t, without, "x"); got["user"] != "y" {
					t.Errorf("the rest is not seen: %s", read(t, without))
				}
				done()
				if err := f.Install(t.Context(), text(t)); err != nil {
					t.Fatal(err)
				}
				if got := read(t, f.Config); got != want {
					t.Fatalf("got %q, want %q", got, want)
				}
				if got := asked(t, f.Config, "daint"); got["hostname"] != "daint.alps.cscs.ch" {
					t.Errorf("daint is %s", got["hostname"])
				}
			}

			left, err := f.Uninstall(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			want = rest
			var stays []string
			switch {
			case tt.left:
				want, stays = before, []string{tt.spelled}
			case tt.after != "":
				want = tt.after + "\n" + rest
			}
			if !slices.Equal(left, stays) {
				t.Errorf("left: %q, want %q", left, stays)
			}
			if got := read(t, f.Config); got != want {
				t.Errorf("after uninstalling: %q, want %q", got, want)
			}
			if got := asked(t, f.Config, "daint"); got["hostname"] != "daint" {
				t.Errorf("daint is %s still", got["hostname"])
			}
		})
	}
}

// TestNotOurs: what does not include our file is not taken for it.
func TestNotOurs(t *testing.T) {
	for _, spelled := range []string{
		"Include cscs_config#x", "Include # cscs_config", "Include .ssh/cscs_config", "#Include cscs_config", "Include *config_",
		"Include cscs_[^x]onfig", `Include cscs_conf\*`, "Include cscs_config=", "Include [!c]scs_config", "Include ../.ss[/]cscs_config",
		"Include ~nobody-of-that-name/cscs_config", "Include %h/cscs_config", "IncludeX cscs_config", "Include ../*/cscs_config", "Include = =cscs_config",
	} {
		t.Run(spelled, func(t *testing.T) {
			f := atHome(t, t.TempDir())
			before := spelled + "\nHost x\n"
			if spelled == "Include # cscs_config" || strings.HasPrefix(spelled, "IncludeX") { // ssh refuses it
				before = "IgnoreUnknown Include*\nHost x\n"
			}
			write(t, f.Config, before, 0o600)
			write(t, f.Part, text(t), 0o600)
			if got := asked(t, f.Config, "daint"); got["hostname"] != "daint" {
				t.Fatalf("ssh reads ours: daint is %s", got["hostname"])
			}
			if by := f.remainingLines([]byte(before)); len(by) > 0 {
				t.Errorf("ours are %q", by)
			}
			if err := f.Install(t.Context(), text(t)); err != nil {
				t.Fatal(err)
			}
			if got := read(t, f.Config); got != f.includeLine()+"\n"+before {
				t.Errorf("got %q", got)
			}
		})
	}
}

// TestBehindBlock: what includes ours behind a block is not enough, and a list there stays.
func TestBehindBlock(t *testing.T) {
	f := atHome(t, t.TempDir())
	before := "Host x\nInclude cscs_config # mine\nMatch all\nInclude none cscs_config\n"
	write(t, f.Config, before, 0o600)
	if err := f.Install(t.Context(), text(t)); err != nil {
		t.Fatal(err)
	}
	if got, want := read(t, f.Config), f.includeLine()+"\nHost x\nMatch all\nInclude none cscs_config\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if _, err := f.Uninstall(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, want := read(t, f.Config), "Host x\nMatch all\nInclude none\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestOddHome: our own line includes our file in whatever directory that is, and is known again.
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
				if err := f.Install(t.Context(), s); err != nil {
					t.Fatal(err)
				}
				if got := read(t, f.Config); got != f.includeLine()+"\nHost x\n" {
					t.Errorf("got %q", got)
				}
				if got := asked(t, f.Config, "daint"); got["hostname"] != "daint.alps.cscs.ch" {
					t.Errorf("daint is %s", got["hostname"])
				}
			}
			if _, err := f.Uninstall(t.Context()); err != nil || read(t, f.Config) != "Host x\n" {
				t.Errorf("got %v, %q", err, read(t, f.Config))
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
	without, done, err := f.Without()
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
	without, done, err := f.Without()
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
	if without, done, err = f.Without(); err != nil || without != f.Config {
		t.Errorf("got %s, %v", without, err)
	}
	done()
}

// TestNoSSH: where there is no ssh, nobody refuses anything, nor knows tokens.
func TestNoSSH(t *testing.T) {
	f := atHome(t, t.TempDir())
	t.Setenv("PATH", t.TempDir())
	write(t, f.Config, "Include cscs_config # mine\n", 0o600)
	if err := f.Install(t.Context(), text(t)); err != nil || read(t, f.Config) != "Include cscs_config # mine\n" {
		t.Errorf("got %v, %q", err, read(t, f.Config))
	}
	tokens := "Include %d/" + fromPasswd(t, f.Part) + "\n"
	write(t, f.Config, tokens, 0o600)
	if err := f.Install(t.Context(), text(t)); err != nil || read(t, f.Config) != f.includeLine()+"\n" {
		t.Errorf("got %v, %q", err, read(t, f.Config))
	}
}
