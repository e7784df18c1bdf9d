package slurm

import (
	"io/fs"
	"os/exec"
	"strings"
	"testing"
)

// What is left out of the script means nothing to a shell: bash prints the same of both.
func TestStripComments(t *testing.T) {
	t.Parallel()
	names, err := fs.Glob(remoteFiles, "remote/*.sh")
	if err != nil || len(names) < 20 {
		t.Fatalf("%d files, %v", len(names), err)
	}
	var whole strings.Builder
	for _, name := range names {
		whole.WriteString(readRemoteFile(name))
	}
	want, got := declared(t, whole.String()), declared(t, script())
	if want != got {
		t.Errorf("bash reads another script than the one that the files have:\n%s", firstDifference(want, got))
	}
	if len(want) < 50_000 || 3*len(script()) > 2*whole.Len() {
		t.Errorf("%d of %d bytes are left, and bash reads %d", len(script()), whole.Len(), len(want))
	}
}

// declared is the script as bash prints it.
func declared(t *testing.T, text string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "bash", "--noprofile", "--norc")
	cmd.Stdin = strings.NewReader("shopt -s extglob\nall() {\n" + text + "\n}\ndeclare -f all\n")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return string(out)
}

func firstDifference(a, b string) string {
	x, y := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range min(len(x), len(y)) {
		if x[i] != y[i] {
			return x[i] + "\n" + y[i]
		}
	}
	return "one goes on"
}
