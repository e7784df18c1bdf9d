//go:build unix

// Command record records a command in a terminal as an animated SVG, which a web page shows like any other
// picture (scripts/record). It runs the real command in tmux, so the recording is what a user would see.
//
//	record -o FILE [-w COLUMNS] [-h LINES] COMMAND STEP…
//
// COMMAND is for sh. A STEP is "wait REGEXP", until the screen shows it; "pause SPAN"; "key NAME", with
// tmux's names of keys; or "size COLUMNS LINES". The recording ends with the last step.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

const (
	pollInterval = 100 * time.Millisecond // between two looks at the screen
	waitTimeout  = 90 * time.Second       // for a "wait"
)

// A frame is what the screen shows from a time on.
type frame struct {
	at    time.Duration
	lines []string // with colours as escape sequences
}

type recording struct {
	socket string
	began  time.Time
	frames []frame
}

func main() {
	out := flag.String("o", "", "the SVG file")
	w := flag.Int("w", 90, "columns")
	h := flag.Int("h", 16, "lines")
	flag.Parse()
	if *out == "" || flag.NArg() < 2 {
		flag.Usage()
		os.Exit(2)
	}
	if err := recordCommand(context.Background(), *out, *w, *h, flag.Arg(0), flag.Args()[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "record:", err)
		os.Exit(1)
	}
}

// recordCommand runs the command and the steps, and writes the SVG to out.
func recordCommand(ctx context.Context, out string, w, h int, command string, steps []string) error {
	dir, err := os.MkdirTemp("", "record")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	r := &recording{socket: filepath.Join(dir, "tmux")}
	if _, err := r.runTmux(ctx, "-f", "/dev/null", "new-session", "-d", "-x", fmt.Sprint(w), "-y", fmt.Sprint(h), command+"; exec cat"); err != nil {
		return err
	}
	defer func() { _, _ = r.runTmux(ctx, "kill-server") }()
	r.began = time.Now()
	for _, step := range steps {
		if err := r.runStep(ctx, step); err != nil {
			return fmt.Errorf("%s: %w", step, err)
		}
	}
	return os.WriteFile(out, drawSVG(r.frames, time.Since(r.began), w, h), 0o644)
}

func (r *recording) runTmux(ctx context.Context, args ...string) (string, error) {
	c := exec.CommandContext(ctx, "tmux", append([]string{"-u", "-S", r.socket}, args...)...)
	text, err := c.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("tmux %s: %w: %s", args[0], err, text)
	}
	return string(text), nil
}

// runStep runs one STEP of the command line.
func (r *recording) runStep(ctx context.Context, step string) error {
	verb, arg, _ := strings.Cut(step, " ")
	switch verb {
	case "wait":
		re, err := regexp.Compile("(?m)" + arg)
		if err != nil {
			return err
		}
		return r.captureFrames(ctx, waitTimeout, re)
	case "pause":
		d, err := time.ParseDuration(arg)
		if err != nil {
			return err
		}
		return r.captureFrames(ctx, d, nil)
	case "key":
		_, err := r.runTmux(ctx, "send-keys", arg)
		return err
	case "size":
		w, h, _ := strings.Cut(arg, " ")
		_, err := r.runTmux(ctx, "resize-window", "-x", w, "-y", h)
		return err
	}
	return errors.New("no such step")
}

// tokenPattern matches a server's token. Recordings hide it, even if its lab no longer exists.
var tokenPattern = regexp.MustCompile(`token=[0-9a-f]+`)

var sgr = regexp.MustCompile("\x1b\\[[0-9;]*m")

// captureFrames records the screen for the given time, or until it matches.
func (r *recording) captureFrames(ctx context.Context, limit time.Duration, until *regexp.Regexp) error {
	ticks := time.NewTicker(pollInterval)
	defer ticks.Stop()
	for deadline := time.Now().Add(limit); ; <-ticks.C {
		text, err := r.runTmux(ctx, "capture-pane", "-p", "-e")
		if err != nil {
			return err
		}
		text = tokenPattern.ReplaceAllStringFunc(text, func(s string) string { return "token=" + strings.Repeat("x", len(s)-len("token=")) })
		lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
		if n := len(r.frames); n == 0 || strings.Join(r.frames[n-1].lines, "\n") != strings.Join(lines, "\n") {
			r.frames = append(r.frames, frame{time.Since(r.began), lines})
		}
		plain := sgr.ReplaceAllString(text, "")
		switch {
		case until != nil && until.MatchString(plain):
			return nil
		case time.Now().Before(deadline):
		case until != nil:
			return fmt.Errorf("never shown; there is\n%s", plain)
		default:
			return nil
		}
	}
}
