//go:build unix

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/alps-tunnel/cscs/internal/schematest"
)

// event is one line of --json, as far as the tests look at it; docs/schema/event.json has all of it.
type event struct {
	V         int       `json:"v"`
	Time      time.Time `json:"time"`
	Event     string    `json:"event"`
	Session   string    `json:"session"`
	Cluster   string    `json:"cluster"`
	Host      string    `json:"host"`
	Job       string    `json:"job"`
	Reason    string    `json:"reason"`
	Start     string    `json:"start"`
	Node      string    `json:"node"`
	Nodes     []string  `json:"nodes"`
	Partition string    `json:"partition"`
	Account   string    `json:"account"`
	Ends      string    `json:"ends"`
	PID       int       `json:"pid"`
	URL       string    `json:"url"`
	LocalPort int       `json:"local_port"`
	Remote    string    `json:"remote"`
	Message   string    `json:"message"`
	Hint      string    `json:"hint"`
	Code      *int      `json:"code"`
}

// eventSchema returns the schema of an event, which says which fields each one must and may have.
var eventSchema = sync.OnceValues(func() (*jsonschema.Schema, error) { return schematest.LoadEvents() })

// session is a cscs with --json that runs beside the test.
type session struct {
	*background
	next int // the first event that was not waited for yet
}

// cscs starts "cscs COMMAND --json --no-browser --cluster NAME ARGS…" as the user
// on the laptop. VAR=VALUE words before the command set its environment.
func cscs(t *testing.T, words ...string) *session {
	t.Helper()
	var env []string
	for len(words) > 0 && strings.Contains(words[0], "=") {
		env, words = append(env, words[0]), words[1:]
	}
	command, args := words[0], words[1:]
	argv := append(env, command, "--json", "--no-browser", "--verbose") // which prints the ID of a problem
	if !slices.ContainsFunc(args, func(a string) bool { return a == "--cluster" || strings.HasPrefix(a, "--cluster=") }) {
		argv = append(argv, "--cluster", here.cluster())
	}
	return &session{background: start(t, here.command(context.Background(), append(argv, args...)...))}
}

// serve starts "cscs run" with the test server, whose flags come after "--".
func serve(t *testing.T, flags []string, server ...string) *session {
	t.Helper()
	words := append([]string{"run"}, flags...)
	words = append(words, "--", here.server())
	words = append(words, server...)
	return cscs(t, append(words, "127.0.0.1:{port}")...)
}

// events are those so far, each held to the schema.
func (s *session) events() []event {
	s.t.Helper()
	events, err := parseEvents(s.stdout.String())
	if err != nil {
		s.t.Fatalf("%v\nstdout: %s\nstderr: %s", err, s.stdout, s.stderr)
	}
	return events
}

func parseEvents(text string) ([]event, error) {
	schema, err := eventSchema()
	if err != nil {
		return nil, err
	}
	var events []event
	lost := map[string]bool{}
	for line := range strings.Lines(text) {
		if !strings.HasSuffix(line, "\n") {
			break
		}
		var e event
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			return nil, fmt.Errorf("not an event: %q: %w", line, err)
		}
		if err := schematest.Validate(schema, []byte(line)); err != nil {
			return nil, fmt.Errorf("an event against the schema: %w: %s", err, line)
		}
		if len(events) > 0 && events[len(events)-1].Event == "ended" {
			return nil, fmt.Errorf("an event after the end: %q", line)
		}
		switch e.Event {
		case "lost":
			lost[e.Host] = true
		case "restored":
			if !lost[e.Host] {
				return nil, fmt.Errorf("restored, what was not lost: %s", line)
			}
			delete(lost, e.Host)
		}
		events = append(events, e)
	}
	return events, nil
}

// await gives the next event of one of the names, or nothing after the limit
// or at the end. Events before it count as seen.
func (s *session) await(limit time.Duration, names ...string) (event, bool) {
	s.t.Helper()
	var found event
	ok := s.stdout.await(limit, func(string) string {
		events := s.events()
		for i := s.next; i < len(events); i++ {
			if slices.Contains(names, events[i].Event) {
				found, s.next = events[i], i+1
				return "found"
			}
		}
		return ""
	})
	return found, ok != ""
}

// wait is await for what must come. The queue has a patience of its own: Slurm may hold the nodes
// of jobs that are over for more than a minute.
func (s *session) wait(names ...string) event {
	s.t.Helper()
	began := time.Now()
	e, ok := s.await(patience, append(slices.Clone(names), "ended")...)
	for !ok && s.queues() && time.Since(began) < 4*patience {
		e, ok = s.await(patience, append(slices.Clone(names), "ended")...)
	}
	if !ok || !slices.Contains(names, e.Event) {
		s.t.Fatalf("no %s came\nstdout: %s\nstderr: %s", strings.Join(names, " or "), s.stdout, s.stderr)
	}
	return e
}

// queues reports whether the last that was heard is that the job waits for nodes.
func (s *session) queues() bool {
	s.t.Helper()
	events := s.events()
	return len(events) > 0 && strings.Contains(events[len(events)-1].Reason, "waiting for nodes")
}

// ready waits until the server can be reached.
func (s *session) ready() event {
	s.t.Helper()
	return s.wait("ready")
}

// end waits for the exit and holds it to the code; it gives the last event.
func (s *session) end(code int) event {
	s.t.Helper()
	got := s.exit(patience)
	events := s.events()
	if len(events) == 0 {
		s.t.Fatalf("no events, exit code %d\nstdout: %s\nstderr: %s", got, s.stdout, s.stderr)
	}
	last := events[len(events)-1]
	if last.Event != "ended" || *last.Code != got || got != code {
		s.t.Fatalf("want exit code %d, got %d\nstdout: %s\nstderr: %s", code, got, s.stdout, s.stderr)
	}
	s.next = len(events)
	return last
}

// find gives the first event of that name so far.
func (s *session) find(name string) (event, bool) {
	s.t.Helper()
	for _, e := range s.events() {
		if e.Event == name {
			return e, true
		}
	}
	return event{}, false
}

// failure waits for the end with that exit code and one of the problems, which "|" separates: releases of Slurm refuse at
// different times. It returns the error event before the end.
func (s *session) failure(code int, problems string) event {
	s.t.Helper()
	s.end(code)
	if got := problemID(s.stderr.String()); !slices.Contains(strings.Split(problems, "|"), got) {
		s.t.Errorf("the problem is %q, want %q", got, problems)
	}
	e, ok := s.find("error")
	if !ok {
		s.t.Fatalf("ended with %d without an error event\nstdout: %s\nstderr: %s", code, s.stdout, s.stderr)
	}
	if *e.Code != code {
		s.t.Errorf("the error says code %d, the exit code is %d", *e.Code, code)
	}
	return e
}

// problemID returns the ID of the problem that --verbose prints.
func problemID(stderr string) string {
	_, id, _ := strings.Cut("\n"+stderr, "\nproblem: ")
	id, _, _ = strings.Cut(id, "\n")
	return id
}

// says fails the test unless the text has every one of the words, in any case.
func says(t *testing.T, text string, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(strings.ToLower(text), strings.ToLower(w)) {
			t.Errorf("%q does not say %q", text, w)
		}
	}
}

func names(events []event) []string {
	var all []string
	for _, e := range events {
		all = append(all, e.Event)
	}
	return all
}

func isSubsequence(want, got []string) bool {
	for _, w := range want {
		i := slices.Index(got, w)
		if i < 0 {
			return false
		}
		got = got[i+1:]
	}
	return true
}
