//go:build lab

package e2e

import (
	"context"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	xssh "golang.org/x/crypto/ssh"

	"github.com/alps-tunnel/cscs/internal/lab/labctl"
	"github.com/alps-tunnel/cscs/internal/problem"
	"github.com/alps-tunnel/cscs/slurm"
)

// put writes the file for the length of the test.
func (s startupFile) put(t *testing.T) {
	t.Helper()
	t.Cleanup(func() { // what the shells make
		for _, path := range []string{".bashenv", ".local/share/fish", ".config/fish"} {
			_ = os.RemoveAll(clusterHome(path))
		}
	})
	if s.file == both {
		put(t, clusterHome(".bashrc"), s.text, 0o644)
		put(t, clusterHome(".bash_profile"), "[ ! -f ~/.bashrc ] || . ~/.bashrc\n", 0o644)
		return
	}
	path := clusterHome(s.file)
	if _, err := os.Stat(clusterHome(".config")); errors.Is(err, os.ErrNotExist) && filepath.Dir(s.file) != "." {
		t.Cleanup(func() { _ = os.RemoveAll(clusterHome(".config")) })
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	for dir := filepath.Dir(s.file); dir != "."; dir = filepath.Dir(dir) {
		if err := os.Chown(clusterHome(dir), labctl.AliceUID, labctl.AliceUID); err != nil {
			t.Fatal(err)
		}
	}
	put(t, path, s.text, 0o644)
}

// loginShell gives alice another login shell, on each host of the cluster, for the length of the test.
func loginShell(t *testing.T, shell string) {
	t.Helper()
	if shell == "bash" {
		return
	}
	for _, host := range append([]string{"daint"}, lab.Nodes...) {
		passwd := lab.Path(host, "/etc/passwd")
		before := readFile(t, passwd)
		after := regexp.MustCompile(`(?m)^(alice:.*:).*$`).ReplaceAllString(before, "${1}/usr/bin/"+shell)
		if after == before {
			t.Fatalf("alice's shell on %s stays as it is:\n%s", host, before)
		}
		write(t, passwd, after)
		// A host that has been booted meanwhile has another first process, and so another path.
		t.Cleanup(func() { write(t, lab.Path(host, "/etc/passwd"), before) })
	}
}

// sshRemote runs commands on daint, as alice, over one connection of ssh.
type sshRemote struct{ client *xssh.Client }

func (r sshRemote) Exec(ctx context.Context, command string, stdin io.Reader, stdout, stderr io.Writer) error {
	s, err := r.client.NewSession()
	if err != nil {
		return err
	}
	defer s.Close()
	// Not Session.Stdin: Wait would wait for its end.
	in, err := s.StdinPipe()
	if err != nil {
		return err
	}
	s.Stdout, s.Stderr = stdout, stderr
	if err := s.Start(command); err != nil {
		return err
	}
	go func() {
		_, _ = io.Copy(in, stdin)
		_ = in.Close()
	}()
	defer context.AfterFunc(ctx, func() { _ = s.Close() })()
	err = s.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var exit *xssh.ExitError
	if errors.As(err, &exit) {
		return exited(exit.ExitStatus())
	}
	return err
}

type exited int

func (e exited) Error() string   { return "the command failed" }
func (e exited) ExitStatus() int { return int(e) }

// dialLogin logs alice in on daint. sshd takes the login shell of now.
func dialLogin(t *testing.T) sshRemote {
	t.Helper()
	private, err := xssh.ParsePrivateKey([]byte(readFile(t, laptopHome(".ssh/cscs-key"))))
	if err != nil {
		t.Fatal(err)
	}
	public, _, _, _, err := xssh.ParseAuthorizedKey([]byte(readFile(t, laptopHome(".ssh/cscs-key-cert.pub"))))
	if err != nil {
		t.Fatal(err)
	}
	signer, err := xssh.NewCertSigner(public.(*xssh.Certificate), private)
	if err != nil {
		t.Fatal(err)
	}
	address := strings.Fields(output(t, "alice", "daint", "getent", "ahostsv4", "daint"))[0]
	raw, err := lab.Dial(t.Context(), lab.Nodes[0], address+":22")
	if err != nil {
		t.Fatal(err)
	}
	conn, channels, requests, err := xssh.NewClientConn(raw, address, &xssh.ClientConfig{User: "alice", Auth: []xssh.AuthMethod{xssh.PublicKeys(signer)},
		HostKeyCallback: xssh.InsecureIgnoreHostKey(), Timeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	client := xssh.NewClient(conn, channels, requests)
	t.Cleanup(func() { _ = client.Close() })
	return sshRemote{client}
}

// TestStartupFiles runs the command line of cscs through the login shell with each of the start-up files, and tries the login
// shell in which the server would start.
func TestStartupFiles(t *testing.T) {
	begin(t)
	for _, shell := range []string{"bash", "zsh", "fish", "tcsh"} {
		t.Run(shell, func(t *testing.T) {
			loginShell(t, shell)
			remote := dialLogin(t)
			for _, s := range startupFiles {
				if s.shell != shell {
					continue
				}
				t.Run(s.name, func(t *testing.T) {
					s.put(t)
					ctx, cancel := context.WithTimeout(t.Context(), patience)
					defer cancel()
					e, err := slurm.Examine(ctx, remote)
					var at *slurm.StartupLine
					var inner *slurm.RemoteError
					switch {
					case errors.As(err, &inner):
						at = inner.Line
					case err == nil && e.Startup != nil:
						err, at = e.Startup, e.Startup.Line
					}
					id := ""
					if err != nil {
						id = problem.Of(err).ID
					}
					if id != s.want {
						t.Fatalf("problem %q, want %q: %v; before it: %q", id, s.want, err, e.Before)
					}
					if at == nil && s.line != "" || at != nil && (at.Line != s.line || at.File != "~/"+s.file) {
						t.Errorf("line %v, want %q of %s", at, s.line, s.file)
					}
				})
			}
		})
	}
}

// TestStartupFilesSessions runs sessions with the files that the server is to see something of: some of them alone, and the
// others in one.
func TestStartupFilesSessions(t *testing.T) {
	together := startupFile{name: "together", shell: "bash", file: both, sees: map[string]string{}}
	var all []startupFile
	for _, s := range startupFiles {
		switch {
		case s.alone:
			all = append(all, s)
		case s.sees != nil:
			together.text += "# " + s.name + "\n" + s.text
			maps.Copy(together.sees, s.sees)
		}
	}
	for _, s := range append(all, together) {
		t.Run(s.name, func(t *testing.T) {
			beginSeen(t)
			loginShell(t, s.shell)
			s.put(t)
			// sh hands on no function, but is given them.
			inSession(t, "cat /proc/$$/environ >seen/env.server; pwd >seen/pwd")
			got := environment(t, "env.server")
			got["PWD"] = strings.TrimSpace(seenFile(t, "pwd"))
			for _, name := range slices.Sorted(maps.Keys(s.sees)) {
				want, value := s.sees[name], got[name]
				if strings.HasPrefix(name, "BASH_FUNC_") {
					value = value[:min(len(value), len(want))] // its first words
				}
				if value != want {
					t.Errorf("%s is %q in the server, want %q", name, got[name], want)
				}
			}
		})
	}
}

// TestStartupFilesRefuse: nothing is requested where a start-up file is in the way, and one line says which.
func TestStartupFilesRefuse(t *testing.T) {
	for _, name := range []string{"exec-zsh-login", "fish-last", "exec-fish-once", "bash-in-tcsh"} {
		i := slices.IndexFunc(startupFiles, func(s startupFile) bool { return s.name == name })
		s := startupFiles[i]
		t.Run(s.name, func(t *testing.T) {
			begin(t)
			unallocated(t)
			loginShell(t, s.shell)
			s.put(t)
			e := cscs(t, plainRun...).failure(1, s.want)
			says(t, e.Message, "~/"+s.file+" line "+s.line)
			if strings.Contains(e.Message, "\n") || e.Hint == "" {
				t.Errorf("message %q, hint %q", e.Message, e.Hint)
			}
		})
	}
}

// row is the file's line in docs/reliability.md.
func (s startupFile) row() string {
	outcome := "works"
	switch {
	case s.want != "" && s.line != "":
		outcome = s.want + ", line " + s.line
	case s.want != "":
		outcome = s.want
	case s.sees != nil:
		outcome = "works; the server sees " + strings.Join(slices.Sorted(maps.Keys(s.sees)), ", ")
	}
	return "| " + s.name + " | " + s.shell + " | " + s.source + " | " + outcome + " |\n"
}

// TestStartupFilesTable: the documentation lists all of them.
func TestStartupFilesTable(t *testing.T) {
	docs := readFile(t, "../../docs/reliability.md")
	for _, s := range startupFiles {
		if !strings.Contains(docs, "\n"+s.row()) {
			t.Errorf("docs/reliability.md lacks %s", s.row())
		}
	}
}
