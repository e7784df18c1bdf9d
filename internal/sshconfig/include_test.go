package sshconfig

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func files(t *testing.T) Files {
	t.Helper()
	dir := t.TempDir()
	return In(filepath.Join(dir, ".ssh", "config"), filepath.Join(dir, "state", "known_hosts"))
}

func text(t *testing.T) string {
	t.Helper()
	s, err := Text([]Host{
		{Name: "ela", HostName: "ela.cscs.ch", Login: Login{User: "alice", Identity: "~/.ssh/cscs-key", Only: true}},
		{Name: "daint", HostName: "daint.alps.cscs.ch", Port: 2222, Jump: "ela", Login: Login{User: "alice", Identity: "/keys of alice/100%/k", Certificate: "/c", Only: true}},
	}, []string{"eiger"}, Sessions{Proxy: Command("/opt/my tools/cscs", "proxy"), KnownHosts: "/state/known_hosts", Login: Login{User: "alice"}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func write(t *testing.T, name, content string, mode fs.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(name, mode); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// asked is what the machine's own ssh makes of a configuration.
func asked(t *testing.T, config, host string) map[string]string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "ssh", "-T", "-G", "-F", config, host).CombinedOutput()
	if err != nil {
		t.Fatalf("ssh -G %s: %v\n%s\n%s", host, err, out, read(t, config))
	}
	got := map[string]string{}
	for line := range strings.Lines(string(out)) {
		k, v, _ := strings.Cut(strings.TrimSpace(line), " ")
		got[k] = v
		got[k+"s"] += v + "\n"
	}
	return got
}

// TestText: ssh itself understands what was meant.
func TestText(t *testing.T) {
	f := files(t)
	write(t, f.Config, text(t), 0o600)
	for host, want := range map[string]map[string]string{
		"ela":   {"hostname": "ela.cscs.ch", "user": "alice", "identityfile": "~/.ssh/cscs-key", "identitiesonly": "yes"},
		"daint": {"hostname": "daint.alps.cscs.ch", "port": "2222", "proxyjump": "ela", "identityfile": "/keys of alice/100%%/k", "certificatefile": "/c"},
		"cscs-k7": {"hostname": "cscs-k7", "port": "22", "user": "alice", "proxycommand": "'/opt/my tools/cscs' proxy '%h'",
			"userknownhostsfile": "/state/known_hosts", "stricthostkeychecking": "true", "identitiesonly": "no"},
	} {
		got := asked(t, f.Config, host)
		for k, v := range want {
			if got[k] != v {
				t.Errorf("%s: %s is %q, want %q", host, k, got[k], v)
			}
		}
	}
	if strings.Contains(read(t, f.Config), "Host eiger") {
		t.Error("the user's own host is overridden")
	}
}

// TestTextLeavesOwn: what a block of the user's sets is not overridden from above.
func TestTextLeavesOwn(t *testing.T) {
	f := files(t)
	login := Login{User: "alice", Identity: "~/.ssh/cscs-key", Only: true}
	s, err := Text([]Host{
		{Name: "daint", HostName: "daint.alps.cscs.ch", Login: login, Own: []string{"User"}},
		{Name: "eiger", HostName: "eiger.alps.cscs.ch", Port: 2222, Login: login, Own: []string{"Port", "IdentityFile"}},
	}, nil, Sessions{Proxy: "p", KnownHosts: "k", Login: login, Own: []string{"User"}})
	if err != nil {
		t.Fatal(err)
	}
	write(t, f.Config, "Host cscs-*\n    User me\nHost daint\n    User me\nHost eiger\n    Port 23\n    IdentityFile ~/.ssh/mine\n", 0o600)
	if _, err := f.Install(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string]map[string]string{
		"daint":   {"hostname": "daint.alps.cscs.ch", "user": "me", "identityfile": "~/.ssh/cscs-key", "identitiesonly": "yes"},
		"cscs-k7": {"port": "22", "user": "me", "identityfile": "~/.ssh/cscs-key"},
		"eiger":   {"hostname": "eiger.alps.cscs.ch", "user": "alice", "port": "23", "identityfile": "~/.ssh/mine", "identitiesonly": "no"},
	} {
		if host == "eiger" && strings.Count(s, "cscs-key\n") != 2 {
			t.Errorf("a key of ours is offered beside the user's own:\n%s", s)
		}
		got := asked(t, f.Config, host)
		for k, v := range want {
			if got[k] != v {
				t.Errorf("%s: %s is %q, want %q", host, k, got[k], v)
			}
		}
	}
}

func TestTextRefuses(t *testing.T) {
	for _, user := range []string{"a\nProxyCommand evil", `a"b`, "a\x00b"} {
		if _, err := Text([]Host{{Name: "ela", HostName: "h", Login: Login{User: user}}}, nil, Sessions{Proxy: "p", KnownHosts: "k"}); err == nil {
			t.Errorf("%q went into the file", user)
		}
	}
}

// TestInstall: what the user has stays byte for byte, in there, and when it is taken out
// again.
func TestInstall(t *testing.T) {
	for name, before := range map[string]string{
		"usual":          "Host *\n    ServerAliveInterval 30\n",
		"empty":          "",
		"no end of line": "Host x\n  User y",
		"CRLF":           "Host x\r\n\tUser y\r\n\r\n",
		"odd spaces":     "\n\n  # mine \nHost\tx\n\n\n   User   y   \n\n",
		"latin1":         "# gr\xfc\xdfe\nHost x\n",
	} {
		t.Run(name, func(t *testing.T) {
			f := files(t)
			write(t, f.Config, before, 0o644)
			for range 2 { // the second time there is nothing to do
				if _, err := f.Install(t.Context(), text(t)); err != nil {
					t.Fatal(err)
				}
				if got, want := read(t, f.Config), f.block()+before; got != want {
					t.Fatalf("got %q, want %q", got, want)
				}
			}
			if info, _ := os.Stat(f.Config); info.Mode().Perm() != 0o644 {
				t.Errorf("its mode is %v", info.Mode())
			}
			if read(t, f.Backup) != before {
				t.Errorf("the backup is %q", read(t, f.Backup))
			}
			if got := asked(t, f.Config, "daint"); got["hostname"] != "daint.alps.cscs.ch" {
				t.Errorf("ssh does not know daint: %v", got["hostname"])
			}
			if _, err := f.Uninstall(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := read(t, f.Config); got != before {
				t.Errorf("after uninstalling: %q", got)
			}
			left, err := filepath.Glob(filepath.Join(filepath.Dir(f.Config), "*"))
			if err != nil || len(left) != 1 {
				t.Errorf("left: %v", left)
			}
		})
	}
}

// What the user writes in between is kept, and so is the backup then: it is of before.
func TestInstallThenEdit(t *testing.T) {
	f := files(t)
	write(t, f.Config, "Host x\n", 0o600)
	if _, err := f.Install(t.Context(), text(t)); err != nil {
		t.Fatal(err)
	}
	edited := "# on top\n" + read(t, f.Config) + "Host y\n"
	write(t, f.Config, edited, 0o600)
	if _, err := f.Install(t.Context(), text(t)+"\n"); err != nil {
		t.Fatal(err)
	}
	if got := read(t, f.Config); got != edited {
		t.Errorf("the block was moved: %q", got)
	}
	// Behind a block it would belong to that.
	write(t, f.Config, "Host y\n"+f.block(), 0o600)
	if _, err := f.Install(t.Context(), text(t)); err != nil {
		t.Fatal(err)
	}
	if got := read(t, f.Config); got != f.block()+"Host y\n" {
		t.Errorf("got %q", got)
	}
	if _, err := f.Uninstall(t.Context()); err != nil {
		t.Fatal(err)
	}
	if read(t, f.Config) != "Host y\n" || read(t, f.Backup) != "Host x\n" {
		t.Errorf("got %q, backup %q", read(t, f.Config), read(t, f.Backup))
	}
}

// Without any configuration one is made, and goes again.
func TestInstallFromNothing(t *testing.T) {
	f := files(t)
	if _, err := f.Uninstall(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Install(t.Context(), text(t)); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]fs.FileMode{filepath.Dir(f.Config): 0o700, f.Config: 0o600, f.Part: 0o600} {
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
	if _, err := f.Uninstall(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(f.Config), "*")); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// TestInstallThroughLink: a configuration kept elsewhere stays there, and stays linked.
func TestInstallThroughLink(t *testing.T) {
	f := files(t)
	dotfiles := filepath.Join(t.TempDir(), "dotfiles", "ssh_config")
	write(t, dotfiles, "Host x\n", 0o640)
	if err := os.MkdirAll(filepath.Dir(f.Config), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(dotfiles, f.Config); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Install(t.Context(), text(t)); err != nil {
		t.Fatal(err)
	}
	if to, err := os.Readlink(f.Config); err != nil || to != dotfiles {
		t.Errorf("the link is %q, %v", to, err)
	}
	if got := read(t, dotfiles); got != f.block()+"Host x\n" {
		t.Errorf("got %q", got)
	}
	if _, err := f.Uninstall(t.Context()); err != nil {
		t.Fatal(err)
	}
	if to, err := os.Readlink(f.Config); err != nil || to != dotfiles || read(t, dotfiles) != "Host x\n" {
		t.Errorf("the link is %q, %v; its file %q", to, err, read(t, dotfiles))
	}
}

// TestInstallRefused: nothing is changed where ssh refuses what is there, or what we bring.
func TestInstallRefused(t *testing.T) {
	f := files(t)
	broken := "Host x\n  Nonsense yes\n"
	write(t, f.Config, broken, 0o600)
	var refused *RefusedError
	if _, err := f.Install(t.Context(), text(t)); !errors.As(err, &refused) || !refused.Before || !strings.Contains(refused.Message, "onsense") {
		t.Errorf("got %v", err)
	}
	write(t, f.Config, "Host x\n", 0o600)
	if _, err := f.Install(t.Context(), "Nonsense yes\n"); !errors.As(err, &refused) || refused.Before {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(f.Part); err == nil || read(t, f.Config) != "Host x\n" {
		t.Error("something was left of it")
	}
}

// TestInstallUnwritable: the line that would do it is told.
func TestInstallUnwritable(t *testing.T) {
	f := files(t)
	readOnly := irreplaceable(t, f)
	write(t, readOnly, "Host x\n", 0o444)
	var failed *WriteError
	for range 2 { // the second time, ours is there already
		if _, err := f.Install(t.Context(), text(t)); !errors.As(err, &failed) || failed.Line != f.includeLine() || failed.Out {
			t.Errorf("got %v", err)
		}
	}
	if read(t, f.Part) != text(t) {
		t.Error("what the line includes is not there")
	}
	if got := read(t, f.Config); got != "Host x\n" {
		t.Errorf("the configuration was changed: %q", got)
	}
	if _, err := os.Stat(f.Backup); err == nil {
		t.Error("a backup of nothing was left")
	}
	if _, err := f.Uninstall(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(f.Part); err == nil {
		t.Error("ours was left")
	}
}

// irreplaceable makes the configuration a link to a file that can be read, and that not even root
// replaces: its name is so long that no temporary file has room for it.
func irreplaceable(t *testing.T, f Files) string {
	t.Helper()
	long := filepath.Join(t.TempDir(), strings.Repeat("c", 250))
	write(t, long, "", 0o600)
	if err := os.MkdirAll(filepath.Dir(f.Config), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(long, f.Config); err != nil {
		t.Fatal(err)
	}
	return long
}

// TestUninstallUnwritable: what is to go from a file that cannot be written is reported.
func TestUninstallUnwritable(t *testing.T) {
	f := files(t)
	long := irreplaceable(t, f)
	for put, out := range map[string]string{
		f.block():              blockBegin + " … " + blockEnd,
		f.includeLine() + "\n": f.includeLine(),
	} {
		write(t, f.Part, text(t), 0o600)
		write(t, long, put+"Host x\n", 0o600)
		var failed *WriteError
		if _, err := f.Uninstall(t.Context()); !errors.As(err, &failed) || !failed.Out || failed.Line != out {
			t.Errorf("got %v, to take out %q, want %q", err, failed.Line, out)
		}
		if _, err := os.Stat(f.Part); err == nil {
			t.Error("ours was left")
		}
	}
}

// TestForeign: what somebody else has where ours would be is neither overwritten nor taken away,
// nor is anything else changed.
func TestForeign(t *testing.T) {
	for _, linked := range []bool{false, true} {
		f := files(t)
		write(t, f.Config, "Host x\n", 0o600)
		victim := f.Part
		if linked {
			victim = filepath.Join(t.TempDir(), "victim")
			if err := os.Symlink(victim, f.Part); err != nil {
				t.Fatal(err)
			}
		}
		write(t, victim, "keep me\n", 0o600)
		var foreign *ForeignError
		if _, err := f.Install(t.Context(), text(t)); !errors.As(err, &foreign) || foreign.File != f.Part {
			t.Errorf("got %v", err)
		}
		write(t, f.Config, f.block()+"Host x\n", 0o600)
		if _, err := f.Uninstall(t.Context()); !errors.As(err, &foreign) {
			t.Errorf("got %v", err)
		}
		if read(t, f.Part) != "keep me\n" || read(t, f.Config) != f.block()+"Host x\n" {
			t.Errorf("got %q, %q", read(t, f.Part), read(t, f.Config))
		}
		if left, _ := filepath.Glob(filepath.Join(filepath.Dir(f.Config), "*")); len(left) != 2 {
			t.Errorf("there are %v", left)
		}
		// Ours is written through a link.
		write(t, victim, text(t)+"# of before\n", 0o600)
		if _, err := f.Install(t.Context(), text(t)); err != nil || read(t, victim) != text(t) {
			t.Errorf("got %v, %q", err, read(t, victim))
		}
	}
}

// TestUnreadable: what cannot be read is told by its name, and nothing is changed.
func TestUnreadable(t *testing.T) {
	for _, harm := range []func(name string) error{
		func(name string) error { return os.Mkdir(name, 0o700) },
		func(name string) error { return os.Symlink(filepath.Base(name), name) },
	} {
		for _, part := range []bool{false, true} {
			f := files(t)
			name := f.Config
			if part {
				name = f.Part
			}
			if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := harm(name); err != nil {
				t.Fatal(err)
			}
			var unread *ReadError
			if _, err := f.Install(t.Context(), text(t)); !errors.As(err, &unread) || unread.File != name {
				t.Errorf("got %v", err)
			}
			if left, _ := filepath.Glob(filepath.Join(filepath.Dir(f.Config), "*")); len(left) != 1 {
				t.Errorf("there are %v", left)
			}
		}
	}
}

// TestTextBeforeAny: what the user says of any host does not break what ours lead to.
func TestTextBeforeAny(t *testing.T) {
	f := files(t)
	s, err := Text(nil, nil, Sessions{Proxy: "p", KnownHosts: "k", Login: Login{User: "alice", Identity: "~/.ssh/cscs-key"}})
	if err != nil {
		t.Fatal(err)
	}
	write(t, f.Config, s+"Host *\n    ProxyUseFdpass yes\n    CertificateFile ~/.ssh/other-cert.pub\n", 0o600)
	got := asked(t, f.Config, "cscs-k7")
	if got["proxyusefdpass"] != "no" {
		t.Errorf("ProxyUseFdpass is %q", got["proxyusefdpass"])
	}
	// With any CertificateFile, ssh does not look beside the key for another.
	if !strings.Contains(got["certificatefiles"], "~/.ssh/cscs-key-cert.pub") {
		t.Errorf("the certificates are %q", got["certificatefiles"])
	}
}

// TestInstallNowhere: a directory that takes no file is told by the file's own name.
func TestInstallNowhere(t *testing.T) {
	f := files(t)
	if err := os.MkdirAll(filepath.Dir(f.Config), 0o700); err != nil {
		t.Fatal(err)
	}
	immutable(t, filepath.Dir(f.Config))
	var failed *WriteError
	if _, err := f.Install(t.Context(), text(t)); !errors.As(err, &failed) || failed.File != f.Part || failed.Line != "" || strings.Contains(err.Error(), ".cscs_config") {
		t.Errorf("got %v", err)
	}
}

// immutable makes a directory one in which nobody writes, for the length of the test; root
// may write in any but one on a read-only file system or of /proc.
func immutable(t *testing.T, dir string) {
	t.Helper()
	if os.Getuid() != 0 {
		if err := os.Chmod(dir, 0o500); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.Chmod(dir, 0o700) })
		return
	}
	// A directory that is gone takes no new file either.
	moved := dir + ".moved"
	if err := os.Rename(dir, moved); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/proc/self", dir); err != nil {
		t.Fatal(err)
	}
}
