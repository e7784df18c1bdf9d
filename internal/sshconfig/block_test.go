package sshconfig

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
)

// TestBlockPlace: the block is replaced where it stands. It is at the top if ssh would take it for a part
// of a section. All other bytes stay.
func TestBlockPlace(t *testing.T) {
	f := files(t)
	block, old := f.block(), f.includeLine()+"\n"
	edited := blockBegin + "\n\nInclude /elsewhere/cscs_config\n" + blockEnd + "\n"
	for name, c := range map[string]struct{ before, installed, removed string }{
		"no block":                    {"User x\nHost y\n", block + "User x\nHost y\n", "User x\nHost y\n"},
		"in place":                    {"User x\n" + block + "Host y\n", "User x\n" + block + "Host y\n", "User x\nHost y\n"},
		"edited":                      {"User x\n" + edited, "User x\n" + block, "User x\n"},
		"saved by an editor":          {strings.ReplaceAll("User x\n"+block+"Host y\n", "\n", "\r\n"), "User x\r\n" + block + "Host y\r\n", "User x\r\nHost y\r\n"},
		"without the last newline":    {"User x\n" + strings.TrimSuffix(block, "\n"), "User x\n" + block, "User x\n"},
		"behind a section":            {"Host y\n" + block + "  User x", block + "Host y\n  User x", "Host y\n  User x"},
		"behind an odd section":       {"\t\"match\" all\n" + block, block + "\t\"match\" all\n", "\t\"match\" all\n"},
		"behind no section":           {"HostName x\n# Host y\n" + block, "HostName x\n# Host y\n" + block, "HostName x\n# Host y\n"},
		"earlier version":             {"User x\n" + old + "Host y", "User x\n" + block + "Host y", "User x\nHost y"},
		"earlier version, alone":      {strings.TrimSuffix(old, "\n"), block, ""},
		"earlier version, Windows":    {"User x\r\n" + f.includeLine() + "\r\n", "User x\r\n" + block, "User x\r\n"},
		"earlier version, in a Host":  {"Host y\n" + old, block + "Host y\n", "Host y\n"},
		"earlier version and a block": {old + block, old + block, old},
		"no marker":                   {" " + blockBegin + "\n#" + blockEnd + "\n", block + " " + blockBegin + "\n#" + blockEnd + "\n", " " + blockBegin + "\n#" + blockEnd + "\n"},
	} {
		installed, err := f.putBlock([]byte(c.before))
		if err != nil || string(installed) != c.installed {
			t.Errorf("%s: %q, %v; want %q", name, installed, err, c.installed)
		}
		for _, data := range []string{c.before, c.installed} {
			if removed, err := f.removeBlock([]byte(data)); err != nil || string(removed) != c.removed {
				t.Errorf("%s: %q without the block is %q, %v; want %q", name, data, removed, err, c.removed)
			}
		}
	}
}

// TestTakeOver: the line of an earlier version becomes the block, once. In a file that cannot be written
// it does as well.
func TestTakeOver(t *testing.T) {
	f := files(t)
	write(t, f.Config, f.includeLine()+"\nHost x\n", 0o600)
	write(t, f.Part, text(t), 0o600)
	for range 2 {
		if own, err := f.Install(t.Context(), text(t)); err != nil || len(own) > 0 {
			t.Errorf("got %v, %q", err, own)
		}
		if got := read(t, f.Config); got != f.block()+"Host x\n" {
			t.Errorf("got %q", got)
		}
	}
	if _, err := f.Uninstall(t.Context()); err != nil || read(t, f.Config) != "Host x\n" {
		t.Errorf("got %v, %q", err, read(t, f.Config))
	}

	f = files(t)
	before := f.includeLine() + "\nHost x\n"
	write(t, irreplaceable(t, f), before, 0o600)
	for range 2 {
		if own, err := f.Install(t.Context(), text(t)); err != nil || len(own) > 0 || read(t, f.Config) != before {
			t.Errorf("got %v, %q, %q", err, own, read(t, f.Config))
		}
	}
}

// TestBrokenBlock: markers that are not one block are reported by their line, and nothing is changed.
func TestBrokenBlock(t *testing.T) {
	begin, end := blockBegin+"\n", blockEnd+"\n"
	for name, c := range map[string]struct {
		config string
		line   int
	}{
		"no end":      {"Host x\n" + begin + "User y\n", 2},
		"no begin":    {"Host x\n\nUser y\n" + end, 4},
		"wrong order": {end + begin, 1},
		"two blocks":  {begin + end + begin + end, 1},
		"two ends":    {"\r\n" + begin + end + end, 2},
		"a Host":      {begin + "Include ~/.ssh/cscs_config\n\nHost mine\n" + end, 4},
		"a comment":   {begin + "# mine\n" + end, 2},
		"an Include":  {begin + "Include ~/.ssh/mine\n" + end, 2},
	} {
		t.Run(name, func(t *testing.T) {
			f := files(t)
			write(t, f.Config, c.config, 0o600)
			write(t, f.Part, text(t), 0o600)
			_, install := f.Install(t.Context(), text(t)+"# later\n")
			_, uninstall := f.Uninstall(t.Context())
			_, _, without := f.Without(t.Context())
			for _, err := range []error{install, uninstall, without} {
				var broken *BlockError
				if !errors.As(err, &broken) || broken.File != f.Config || broken.Line != c.line {
					t.Errorf("got %v", err)
				}
			}
			if read(t, f.Config) != c.config || read(t, f.Part) != text(t) {
				t.Errorf("got %q, %q", read(t, f.Config), read(t, f.Part))
			}
		})
	}
}

// FuzzBlock: in any file, the block comes and goes without a trace, and twice is once.
func FuzzBlock(f *testing.F) {
	fs := In("/home/alice/.ssh/config", "/state/known_hosts")
	for _, s := range []string{"", "Host x\n User y\n", "Host x\n" + fs.includeLine(), fs.includeLine() + "\r\nHost x", "host=x\r\n" + fs.block(), blockBegin, blockEnd + "\n" + blockBegin, "\x00\xff\nHost"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		in, err := fs.putBlock(data)
		if err != nil {
			if _, removeErr := fs.removeBlock(data); removeErr == nil {
				t.Errorf("%q: %v for putBlock alone", data, err)
			}
			return
		}
		if !bytes.Contains(in, []byte(fs.block())) {
			t.Errorf("of %q: %q", data, in)
		}
		if again, err := fs.putBlock(in); err != nil || !bytes.Equal(again, in) {
			t.Errorf("twice: %q, %v, once: %q", again, err, in)
		}
		bare, _ := fs.removeBlock(data)
		if got, err := fs.removeBlock(in); err != nil || !bytes.Equal(got, bare) {
			t.Errorf("in and out again: %q, %v, was %q", got, err, bare)
		}
		if start, end, _ := fs.findBlock(data); !bytes.Equal(slices.Concat(bare[:start], data[start:end], bare[start:]), data) {
			t.Errorf("%q without the block is %q", data, bare)
		}
	})
}
