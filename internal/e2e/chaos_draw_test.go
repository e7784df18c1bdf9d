//go:build unix

package e2e

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// drawn are what the users of many rounds have.
func drawn(submits bool) []userSetup {
	var all []userSetup
	for n := range 2000 {
		all = append(all, drawUser(7, n, submits, "shared"))
	}
	return all
}

// TestDrawUserAgain: what is drawn depends on the seed and the number of the round alone.
func TestDrawUserAgain(t *testing.T) {
	if !reflect.DeepEqual(drawn(false), drawn(false)) {
		t.Error("the same seed draws something else")
	}
	if reflect.DeepEqual(drawUser(7, 1, false, "shared"), drawUser(8, 1, false, "shared")) && reflect.DeepEqual(drawUser(7, 2, false, "shared"), drawUser(8, 2, false, "shared")) {
		t.Error("another seed draws the same")
	}
}

// TestDrawUserAll: of each kind, everything is drawn at some time.
func TestDrawUserAll(t *testing.T) {
	want, got := map[string]bool{}, map[string]bool{}
	for _, s := range startupFiles {
		if s.want == "" && s.shell != "fish" && s.name != "bash-env" && s.name != "limits" {
			want["file "+s.name] = true
		}
	}
	for _, m := range umasks {
		want["umask "+m] = true
	}
	for _, v := range presetsOf(false) {
		want[v] = true
	}
	for _, s := range slices.Concat(containers, uenvs) {
		want[s.name] = true
	}
	for _, k := range keySetups {
		want[string(k)] = true
	}
	for _, u := range drawn(false) {
		got["file "+u.startup.name], got["umask "+u.umask], got[u.software.name], got[string(u.keys)] = true, true, true, true
		for _, v := range u.presets {
			got[v] = true
		}
	}
	for _, w := range slices.Sorted(maps.Keys(want)) {
		if !got[w] {
			t.Errorf("never drawn: %s", w)
		}
	}
}

// TestDrawUserShares: containers, uenvs, umasks and presets are in a share of the rounds, and so is a user without any.
func TestDrawUserShares(t *testing.T) {
	count := map[string]int{}
	for _, u := range drawn(false) {
		for _, k := range u.kinds() {
			count[k]++
		}
	}
	for _, k := range []string{"EDF", "uenv", "umask 027", "umask 077", "presets", "partition by preset", "start-up file of bash", "start-up file of tcsh", "start-up file of zsh",
		string(keyEncrypted), string(keyInAgent), string(keyBeside), string(keyOthers), string(keyMaster)} {
		if n := count[k]; n < 40 || n > 1900 {
			t.Errorf("%s: %d of 2000 rounds", k, n)
		}
	}
}

// TestDrawUserFits: only what a user could have together is drawn together.
func TestDrawUserFits(t *testing.T) {
	for _, submits := range []bool{false, true} {
		for n, u := range drawn(submits) {
			if submits && u.software.image != "" {
				t.Errorf("round %d submits a job from a container, which has no sbatch: %s", n, u.software.name)
			}
			names := map[string]bool{}
			for _, v := range u.presets {
				name, value, ok := strings.Cut(v, "=")
				if !ok || names[name] || strings.ContainsAny(value, "'\n!") {
					t.Errorf("round %d: the preset %q", n, v)
				}
				names[name] = true
				if submits && u.partition == "" && strings.HasPrefix(name, "SBATCH_") {
					t.Errorf("round %d: %s bends the user's own sbatch", n, v)
				}
			}
			if own := ownUmasks[u.startup.name]; own != "" && u.umask != own {
				t.Errorf("round %d: umask %q, and the start-up file sets %s", n, u.umask, own)
			}
			if (u.partition != "") != slices.Contains(u.presets, "SALLOC_PARTITION=shared") {
				t.Errorf("round %d: partition %q with %q", n, u.partition, u.presets)
			}
		}
	}
}

// TestUmasksOfStartupFiles: each file that works and sets a umask is known to.
func TestUmasksOfStartupFiles(t *testing.T) {
	for _, s := range startupFiles {
		at := "\n" + s.text
		if s.want == "" && s.name != "bash-env" && strings.Contains(at, "\numask ") && !strings.Contains(at, "\numask "+ownUmasks[s.name]+"\n") {
			t.Errorf("%s sets another umask than %q", s.name, ownUmasks[s.name])
		}
	}
}

func TestUserSetupFile(t *testing.T) {
	for _, c := range []struct {
		user  userSetup
		want  string // the text
		in    string
		modes string
	}{
		{userSetup{}, "", "", "0644 0755"},
		{userSetup{umask: "027"}, "umask 027\n", ".bashrc", "0640 0750"},
		{userSetup{umask: "002", presets: []string{"SQUEUE_FORMAT=%i %T"}}, "umask 002\nexport SQUEUE_FORMAT='%i %T'\n", ".bashrc", "0664 0775"},
		{userSetup{umask: "077", presets: []string{"SLURM_LABELIO=1"}, startup: startupFile{name: "x", shell: "tcsh", file: ".cshrc", text: "exit\n"}},
			"umask 077\nsetenv SLURM_LABELIO '1'\nexit\n", ".cshrc", "0600 0700"},
		{userSetup{umask: "027", atLogin: true}, "[ -n \"${SLURM_JOB_ID-}\" ] || umask 027\n", ".bashrc", "0640 0750"},
		{userSetup{umask: "027", atLogin: true, startup: startupFile{name: "x", shell: "tcsh", file: ".cshrc"}}, "if (! $?SLURM_JOB_ID) umask 027\n", ".cshrc", "0640 0750"},
		{userSetup{startup: startupFile{name: "x", shell: "zsh", file: ".zshenv", text: "true\n"}}, "true\n", ".zshenv", "0644 0755"},
	} {
		if got := c.user.file(); got.text != c.want || got.file != c.in {
			t.Errorf("%+v: %q in %q, want %q in %q", c.user, got.text, got.file, c.want, c.in)
		}
		if got := c.user.modes(); got != c.modes {
			t.Errorf("%+v: modes %s, want %s", c.user, got, c.modes)
		}
	}
}

// TestUserSetupReach: the site's /etc/profile overrides what a file sets that is no login shell's.
func TestUserSetupReach(t *testing.T) {
	set := []string{"SQUEUE_FORMAT=%i", "SLURM_LABELIO=1"}
	for file, want := range map[string][]string{both: set, ".bashrc": set[1:], ".zshenv": set[1:]} {
		u := userSetup{presets: set, startup: startupFile{name: "x", shell: "bash", file: file}}
		if got := u.reach(); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", file, got, want)
		}
	}
	if u := (userSetup{presets: set}); !slices.Equal(u.reach(), set[1:]) {
		t.Errorf("without a start-up file: %q", u.reach())
	}
}
