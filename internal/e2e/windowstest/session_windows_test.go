package windowstest

import (
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/windows"

	"github.com/alps-tunnel/cscs/internal/waittest"
	"github.com/alps-tunnel/cscs/session"
)

// TestDemo: the demo serves its page, and the keys that end it leave no process and no file.
func TestDemo(t *testing.T) {
	for name, event := range map[string]uint32{"Ctrl-C": windows.CTRL_C_EVENT, "Ctrl-Break": windows.CTRL_BREAK_EVENT} {
		t.Run(name, func(t *testing.T) {
			u := newUser(t)
			p := u.start("demo", "--page")
			ready := p.wait(session.EventReady)
			if body := get(t, ready.URL); !strings.Contains(body, "This page comes from a compute node") {
				t.Errorf("the page is %q", body)
			}
			if len(processes(t)) < 2 {
				t.Error("the demo's cluster is not seen, so its end would not be seen either")
			}
			sendEvent(t, p.cmd.Process.Pid, event)
			p.exit(0)
			events := p.events()
			if last := events[len(events)-1]; last.Event != session.EventEnded || *last.Code != 0 {
				t.Errorf("the last event is %+v", last)
			}
			waittest.Until(t, patience, "the end of the demo's processes", func() bool { return len(processes(t)) == 0 })
			if left := u.files(); len(left) > 0 {
				t.Errorf("left behind: %q", left)
			}
		})
	}
}

// TestClosedConsole: a closed console, a logoff and a shutdown leave the session running. Other commands
// find it and end it.
func TestClosedConsole(t *testing.T) {
	for name, event := range map[string]uint32{"closed": windows.CTRL_CLOSE_EVENT, "logoff": windows.CTRL_LOGOFF_EVENT, "shutdown": windows.CTRL_SHUTDOWN_EVENT} {
		t.Run(name, func(t *testing.T) {
			u := newUser(t)
			p := u.start("run", "--cluster", "demo", "--", "cscs-page", "{port}")
			id := p.wait(session.EventReady).Session
			sendEvent(t, p.cmd.Process.Pid, event)
			p.exit(0)
			if names := eventsOf(p); !slices.Contains(names, session.EventDetached) {
				t.Fatalf("the events are %q", names)
			}
			if out, _ := u.run(0, "ps"); !strings.Contains(out, id) {
				t.Errorf("cscs ps: %q", out)
			}
			a := u.start("attach", id)
			get(t, a.wait(session.EventReady).URL)
			sendEvent(t, a.cmd.Process.Pid, windows.CTRL_C_EVENT)
			a.exit(0)
			u.run(0, "stop", id)
			if out, _ := u.run(0, "ps"); strings.Contains(out, id) {
				t.Errorf("cscs ps after cscs stop: %q", out)
			}
		})
	}
}

// TestStop: another process ends a session that a process attends.
func TestStop(t *testing.T) {
	u := newUser(t)
	p := u.start("run", "--cluster", "demo", "--", "cscs-page", "{port}")
	id := p.wait(session.EventReady).Session
	u.run(0, "stop", id)
	p.exit(0)
	if names := eventsOf(p); slices.Contains(names, session.EventDetached) || names[len(names)-1] != session.EventEnded {
		t.Errorf("the events are %q", names)
	}
}

func eventsOf(p *program) []string {
	var names []string
	for _, e := range p.events() {
		names = append(names, e.Event)
	}
	return names
}
