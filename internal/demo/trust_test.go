package demo

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"al.essio.dev/pkg/shellescape"

	"github.com/alps-tunnel/cscs/internal/hostiletest"
	"github.com/alps-tunnel/cscs/slurm"
)

// recorder keeps the command and the script of a call.
type recorder struct{ command, script string }

func (r *recorder) Exec(_ context.Context, command string, stdin io.Reader, _, _ io.Writer) error {
	if r.command != "" { // it is asked whether there is another shell
		return nil
	}
	in := bufio.NewReader(stdin)
	length := ""
	for length == "" {
		s, err := in.ReadString('\n')
		if err != nil {
			return err
		}
		length = strings.TrimSpace(s)
	}
	n, err := strconv.Atoi(length[strings.LastIndex(length, " ")+1:])
	if err != nil {
		return err
	}
	text, err := gzip.NewReader(io.LimitReader(in, int64(n)))
	if err != nil {
		return err
	}
	script, err := io.ReadAll(text)
	r.command, r.script = command, string(script)
	return err
}

// TestHostileIDs: the cluster makes and removes nothing for a session whose ID is none.
func TestHostileIDs(t *testing.T) {
	p := Place{Dir: filepath.Join(t.TempDir(), "demo")}
	c, stop, err := p.Serve()
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	const id = "abcdefgh"
	for verb, ask := range map[string]func(slurm.Remote) error{
		"log":  func(r slurm.Remote) error { return slurm.Log(t.Context(), r, id, 0, 0, io.Discard) },
		"find": func(r slurm.Remote) error { _, err := slurm.FindRunner(t.Context(), r, id); return err },
		"stop": func(r slurm.Remote) error { _, err := slurm.Stop(t.Context(), r, slurm.Stopping{ID: id}); return err },
		"follow": func(r slurm.Remote) error {
			_, err := (&slurm.Submission{ID: id}).Follow(t.Context(), r, func(slurm.Event) error { return nil })
			return err
		},
	} {
		var made recorder
		_ = ask(&made)
		if made.command == "" {
			t.Fatal(verb, "made no call")
		}
		keep := filepath.Join(c.homeDir(), ".cscs", "keep")
		if err := os.MkdirAll(keep, 0o700); err != nil {
			t.Fatal(err)
		}
		for _, bad := range hostiletest.IDs {
			if bad == "" && verb == "find" {
				continue // which asks for a node
			}
			call := strings.Replace(made.script, "cscs_id="+id+"\n", "cscs_id="+shellescape.Quote(bad)+"\n", 1)
			if call == made.script {
				t.Fatalf("%s: no ID in %.300q", verb, made.script)
			}
			var out, said bytes.Buffer
			var packed bytes.Buffer
			w := gzip.NewWriter(&packed)
			_, unwritten := io.WriteString(w, call)
			if err := errors.Join(unwritten, w.Close()); err != nil {
				t.Fatal(err)
			}
			in := io.MultiReader(strings.NewReader(strconv.Itoa(packed.Len())+"\n"+packed.String()), strings.NewReader("ok\n"))
			code := c.exec("login1", made.command, in, &out, &said)
			if !strings.Contains(out.String(), "error\tkind=protocol") || code == 0 {
				t.Errorf("%s %q: code %d, %q %q", verb, bad, code, out.String(), said.String())
			}
			if _, err := os.Stat(keep); err != nil {
				t.Fatalf("%s %q: %v", verb, bad, err)
			}
		}
	}
}
