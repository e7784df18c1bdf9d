package forward

import "testing"

func TestProcess(t *testing.T) {
	for _, tt := range []struct {
		name, user, want string
	}{
		{"jupyter-lab\n", "", "jupyter-lab (pid 7)"},
		{"jupyter-lab", "bob", "jupyter-lab (pid 7, user bob)"},
		{"", "", "a process (pid 7)"},
		{"\x1b[2Jevil\a", "", "?[2Jevil? (pid 7)"},
	} {
		if got := describeProcess(tt.name, 7, tt.user); got != tt.want {
			t.Errorf("process(%q, 7, %q) = %q, want %q", tt.name, tt.user, got, tt.want)
		}
	}
}

func TestParseLsof(t *testing.T) {
	for _, tt := range []struct{ name, out, want string }{
		{"none", "", ""},
		{"one", "p4711\ncpython3.12\n", "python3.12 (pid 4711)"},
		{"one with files", "p4711\ncpython3.12\nf5\nf6\n", "python3.12 (pid 4711)"},
		{"two", "p1\nca\nf5\np2\ncb\n", "a (pid 1)"},
		{"nonsense", "lsof: what?\n", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := parseLsof(tt.out); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}
