//go:build unix

package ui

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
)

// The test binary asks when it is told to, on a terminal that the test plays.
func TestMain(m *testing.M) {
	what := os.Getenv("UI_TEST_ASK")
	if what == "" {
		os.Exit(m.Run())
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var answer any
	p, err := NewPrompter()
	if err != nil {
		what = ""
	}
	switch what {
	case "hostkey":
		answer, err = p.Ask(ctx, "The authenticity of \x1b[2Jit can't be established.\nAre you sure (yes/no/[fingerprint])? ",
			"Please type 'yes', 'no' or the fingerprint: ", func(a string) (bool, bool) { return a == "yes", a != "y" })
	case "secret":
		var b []byte
		b, err = p.ReadSecret(ctx, "Enter passphrase for key '/k': ")
		answer = string(b)
	case "two secrets":
		var a, b []byte
		a, _ = p.ReadSecret(ctx, "first: ")
		b, err = p.ReadSecret(ctx, "second: ")
		answer = string(a) + "," + string(b)
	}
	fmt.Printf("answer=%v err=%v", answer, err)
	os.Exit(0)
}

// probe is typed at the end, to see whether the terminal shows it.
const probe = "is there an echo"

// ask runs the question on a terminal of its own, and types each of the lines as
// soon as the text before it has been shown. It returns what the screen showed,
// what the program made of it, and whether the terminal echoes afterwards.
func ask(t *testing.T, what string, dialogue ...string) (screen, result string, echoes bool) {
	t.Helper()
	master, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer master.Close()
	defer tty.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), "UI_TEST_ASK="+what, "TERM=xterm")
	var stdout bytes.Buffer
	cmd.Stdout = &stdout // no terminal: the question must find it by itself
	cmd.Stdin = nil
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 3}
	cmd.ExtraFiles = []*os.File{tty}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	chunks := make(chan string, 1000) // more than any dialogue has
	go func() {
		defer close(chunks)
		buf := make([]byte, 4096)
		for {
			n, err := master.Read(buf)
			if n > 0 {
				chunks <- string(buf[:n])
			}
			if err != nil {
				return
			}
		}
	}()
	seen := 0
	for i := 0; i+1 < len(dialogue); i += 2 {
		for !strings.Contains(screen[seen:], dialogue[i]) {
			select {
			case c := <-chunks:
				screen += c
			case <-ctx.Done():
				t.Fatalf("no %q on the screen: %q", dialogue[i], screen)
			}
		}
		seen = len(screen)
		if _, err := io.WriteString(master, dialogue[i+1]); err != nil {
			t.Fatal(err)
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v: %s", err, stdout.String())
	}
	if _, err := io.WriteString(master, probe); err != nil {
		t.Fatal(err)
	}
	for !echoes {
		select {
		case c := <-chunks:
			screen += c
			echoes = strings.HasSuffix(screen, probe)
		case <-ctx.Done():
			return screen, stdout.String(), false
		}
	}
	return strings.TrimSuffix(screen, probe), stdout.String(), true
}

func TestHostKeyQuestion(t *testing.T) {
	const q = "(yes/no/[fingerprint])? "
	for _, tt := range []struct {
		name     string
		dialogue []string
		want     string
	}{
		{"yes", []string{q, "yes\n"}, "answer=true err=<nil>"},
		{"no", []string{q, "no\n"}, "answer=false err=<nil>"},
		{"y will not do", []string{q, "y\n", "the fingerprint: ", "no\n"}, "answer=false err=<nil>"},
		{"Ctrl-C", []string{q, "\x03"}, "answer=false err=interrupt signal received"},
		{"Ctrl-D", []string{q, "\x04"}, "answer=false err=EOF"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			screen, result, _ := ask(t, "hostkey", tt.dialogue...)
			if result != tt.want {
				t.Errorf("got %q, want %q", result, tt.want)
			}
			if want := "The authenticity of it can't be established.\r\nAre you sure (yes/no/[fingerprint])? "; !strings.HasPrefix(screen, want) {
				t.Errorf("on the screen: %q", screen)
			}
		})
	}
}

func TestSecretQuestion(t *testing.T) {
	const q = "Enter passphrase for key '/k': "
	for _, tt := range []struct {
		name, typed, want string
	}{
		{"typed", "hush hush\n", "answer=hush hush err=<nil>"},
		{"corrected", "hush x\x7fhush\n", "answer=hush hush err=<nil>"},
		{"interrupted", "half\x03", "answer= err=interrupted"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			screen, result, echoes := ask(t, "secret", q, tt.typed)
			if result != tt.want {
				t.Errorf("got %q, want %q", result, tt.want)
			}
			if strings.Contains(screen, "hush") || strings.Contains(screen, "half") {
				t.Errorf("the secret was shown: %q", screen)
			}
			if !echoes {
				t.Error("the terminal was left without echo")
			}
			if tt.name == "typed" && !strings.HasSuffix(screen, "\x1b[1A\r\x1b[J") {
				t.Errorf("the question was not taken back: %q", screen)
			}
		})
	}
}

// What is typed ahead of the second question is its answer.
func TestTypedAhead(t *testing.T) {
	_, result, echoes := ask(t, "two secrets", "first: ", "one\ntwo\n")
	if want := "answer=one,two err=<nil>"; result != want || !echoes {
		t.Errorf("got %q, want %q; echo: %v", result, want, echoes)
	}
}

func TestNobodyToAsk(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "UI_TEST_ASK=secret")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // no terminal at all
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	if want := "answer=<nil> err=" + ErrNoTerminal.Error(); string(out) != want {
		t.Errorf("got %q, want %q", out, want)
	}
}
