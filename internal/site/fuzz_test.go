package site

import (
	"bytes"
	"strings"
	"testing"

	"github.com/kevinburke/ssh_config"
)

// FuzzSSHConfig: whatever stands in ssh's configuration, and whatever ssh makes of it.
func FuzzSSHConfig(f *testing.F) {
	for _, s := range []string{
		recommended, "hostname h\nuser bob\nport 22\nproxyjump none\nidentityfile ~/.ssh/k\nuserknownhostsfile /a b /c\nconnecttimeout x\n",
		"Match exec \"x\"\n User a\nHost *\n User b\r\n", "proxycommand ssh -W %h:%p -p 22 -l a b", "proxyjump ssh://a@[::1]:2222/,b", "Include ~/.ssh/cscs_config\n", "match final all\n\x00", "port -1\nhost=\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		rest, _ := withoutMatch(data)
		if got, want := bytes.Count(rest, []byte("\n")), bytes.Count(data, []byte("\n")); got < want || got > want+1 {
			t.Errorf("%d lines became %d", want, got)
		}
		// It reads what is included, whatever that may be.
		if included := bytes.Contains(bytes.ToLower(rest), []byte("include")); included {
			rest = nil
		}
		if cfg, err := ssh_config.DecodeBytes(rest); err == nil {
			_, _ = readSettings([]*ssh_config.Config{cfg}, question{name: "daint"})
		}
		s := parseAnswer(data)
		h := Host{HostName: s.hostName, Asked: "daint", Port: s.port}
		for _, file := range newTokens(h).expandFiles(s.userKnownHosts) {
			if file == "" {
				t.Error("a file without a name")
			}
		}
		for j := range strings.SplitSeq(s.proxyJump, ",") {
			if j, err := parseJump(j); err == nil && (!plainHost(j.host) || strings.HasPrefix(j.user, "-") || j.port < 0 || j.port > 65535) {
				t.Errorf("%q is a jump host: %+v", s.proxyJump, j)
			}
		}
		if j, ok := jumpOfCommand(s.proxyCommand); ok && j == "" {
			t.Errorf("%q jumps to nobody", s.proxyCommand)
		}
	})
}

// FuzzConfig: whatever stands in config.toml, each mistake has a place, and the search for all of them ends.
func FuzzConfig(f *testing.F) {
	for _, s := range []string{
		string(builtin), "a = 1\nclusters = 'x'\n", "[clusters.x]\ntime = [1,\n2]\nenv = {A = 1}\n[clusters.x]\n", "[[recipes]]\n", "x.y.z = 1\r\n[recipes.r]\ncommand = 'x'\nport = \"\"\"\n1\"\"\"", "\"\" = 1\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if file, _, problems := parseConfig("c.toml", data); file == nil && len(problems) == 0 {
			t.Error("neither a file nor a problem")
		}
		problems := newConfig("c.toml", siteFile{}, nil).mergeText("c.toml", data, originUser)
		if lines := bytes.Count(data, []byte("\n")) + 1; len(problems) > 4*lines+4 {
			t.Errorf("%d problems in %d lines", len(problems), lines)
		}
		for _, p := range problems {
			if p.Line == 0 {
				t.Errorf("no place: %v", p)
			}
		}
	})
}
