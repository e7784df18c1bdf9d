package sshconfig

import "testing"

// TestJoinForWindows: the program stays one word, with its backslashes, and ssh expands nothing in it.
func TestJoinForWindows(t *testing.T) {
	for program, want := range map[string]string{
		`C:\bin\cscs.exe`:                       `C:\bin\cscs.exe proxy`,
		`C:\Program Files\cscs\cscs.exe`:        `"C:\Program Files\cscs\cscs.exe" proxy`,
		`C:\Users\Zoë Müller\100%\bin\cscs.exe`: `"C:\Users\Zoë Müller\100%%\bin\cscs.exe" proxy`,
	} {
		if got := joinForWindows(program, "proxy"); got != want {
			t.Errorf("%s: %s, want %s", program, got, want)
		}
	}
}
