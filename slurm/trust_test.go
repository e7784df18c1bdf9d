package slurm

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/netip"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/alps-tunnel/cscs/internal/hostiletest"
	"github.com/alps-tunnel/cscs/internal/sessionid"
)

// A lyingHost answers calls with lines of its own, as a login node that lies could.
type lyingHost struct {
	lines []string
	calls atomic.Int32 // watchInner asks beside a call that takes long
}

func (h *lyingHost) Exec(_ context.Context, _ string, stdin io.Reader, stdout, _ io.Writer) error {
	h.calls.Add(1)
	asked, err := ReadCall(bufio.NewReader(stdin))
	if err != nil {
		return err
	}
	_, _ = io.WriteString(stdout, asked.Greeting()+strings.Join(h.lines, "\n")+"\n")
	return nil
}

// says are the lines with which a lying host answers.
func says(lines ...string) *lyingHost { return &lyingHost{lines: lines} }

// TestIDsOfCalls: no call is made for a session whose ID is none.
func TestIDsOfCalls(t *testing.T) {
	t.Parallel()
	for _, id := range hostiletest.IDs {
		for name, call := range map[string]func(*lyingHost) error{
			"submit": func(h *lyingHost) error {
				_, err := (&Submission{ID: id, Launch: Launch{Argv: []string{"true"}}}).Submit(t.Context(), h, func(Event) error { return nil })
				return err
			},
			"follow": func(h *lyingHost) error {
				_, err := (&Submission{ID: id}).Follow(t.Context(), h, func(Event) error { return nil })
				return err
			},
			"stop": func(h *lyingHost) error { _, err := Stop(t.Context(), h, Stopping{ID: id}); return err },
			"log":  func(h *lyingHost) error { return Log(t.Context(), h, id, 0, 0, io.Discard) },
			"find": func(h *lyingHost) error { _, err := FindRunner(t.Context(), h, id); return err },
			"listen": func(h *lyingHost) error {
				w := NewPortMonitor(1, 0)
				if w.Session = id; id == "" {
					w.Session = " " // none is good: the watch is over no session's port
				}
				return w.Run(t.Context(), h, func(Listener) error { return nil })
			},
		} {
			h := says()
			var bad *sessionid.Error
			if err := call(h); !errors.As(err, &bad) || h.calls.Load() > 0 {
				t.Errorf("%s %q: %v, %d calls", name, id, err, h.calls.Load())
			}
		}
	}
}

// TestListedIDs: what the cluster lists under a name that is no ID is no session.
func TestListedIDs(t *testing.T) {
	t.Parallel()
	for _, id := range hostiletest.IDs {
		if strings.ContainsAny(id, "\n\t") {
			continue // which ends a line, or a field
		}
		found, swept, err := List(t.Context(), says("session\tid="+id+"\tjob=12|RUNNING|None|0|0|p|a|nid1", "session\tid=abcdefgh\tjob=", "swept\tid="+id+"\tjob=1\tstate=RUNNING\tage=9", "listed"))
		if err != nil || len(found) != 1 || found[0].ID != "abcdefgh" || len(swept) != 0 {
			t.Errorf("%q: %v, %v, %v", id, found, swept, err)
		}
	}
}

// TestAnswers: an answer whose job, node, step, address or port is none is refused as a whole.
func TestAnswers(t *testing.T) {
	t.Parallel()
	follow := func(h *lyingHost) error {
		_, err := (&Submission{ID: "abcdefgh"}).Follow(t.Context(), h, func(e Event) error { t.Errorf("%q: taken in: %+v", h.lines, e); return nil })
		return err
	}
	find := func(h *lyingHost) error { _, err := Find(t.Context(), h, "", "nid1"); return err }
	stop := func(h *lyingHost) error { _, err := Stop(t.Context(), h, Stopping{ID: "abcdefgh"}); return err }
	runner := func(h *lyingHost) error { _, err := FindRunner(t.Context(), h, "abcdefgh"); return err }
	for line, call := range map[string]func(*lyingHost) error{
		"pending\tjob=WORD":                          follow,
		"queue\tjob=WORD\tanswer=PENDING|Priority|0": follow,
		"granted\tjob=WORD\tinfo=JobId=1":            follow,
		"alive\tjob=WORD\tstep=0\tnode=nid1":         follow,
		"alive\tjob=1\tstep=WORD\tnode=nid1":         follow,
		"alive\tjob=1\tstep=0\tnode=WORD":            follow,
		"@alive\tjob=1\tstep=0\tnode=WORD":           runner,
		"started\tnode=WORD\tpid=1\tport=1":          follow,
		"started\tnode=nid1\tpid=1\tport=WORD":       follow,
		"listening\taddr=WORD\tport=1\tbound=::1":    follow,
		"listening\taddr=127.0.0.1\tport=WORD":       follow,
		"listening\taddr=127.0.0.1\tport=70000":      follow,
		"listening\taddr=127.0.0.1\tport=0":          follow,
		"elsewhere\taddr=127.0.0.1\tport=WORD":       follow,
		"elsewhere\taddr=WORD\tport=1":               follow,
		"vanished\taddr=WORD\tport=1":                follow,
		"job\tjob=WORD\tinfo=JobId=1":                follow,
		"node\tnode=WORD":                            find,
		"hostkey\tnode=WORD\tfrom=scan\tkey=a b":     find,
		"remains\tjob=WORD":                          stop,
	} {
		for _, word := range append(hostiletest.Words, "evil.example:22") {
			if strings.ContainsAny(word, "\n\t") || !strings.Contains(line, "WORD") && word != hostiletest.Words[0] {
				continue
			}
			h := says(strings.ReplaceAll(line, "WORD", word), "found")
			var refused *RemoteError
			if err := call(h); !errors.As(err, &refused) || refused.Kind != "protocol" || strings.ContainsAny(err.Error(), "\n\x1b\x00") || len(err.Error()) > 400 {
				t.Errorf("%q: %v", h.lines[0], err)
			}
		}
	}
	for _, line := range []string{"pending", "granted\tinfo=JobId=1", "alive\tjob=1\tstep=0", "alive\tnode=nid1\tstep=0", "listening\tport=1"} {
		if err := follow(says(line)); !errors.As(err, new(*RemoteError)) {
			t.Errorf("%q: %v", line, err)
		}
	}
}

// TestErrorKinds: an error has the kind that the host gives it only if that is one of the kinds. The remote half uses
// no other.
func TestErrorKinds(t *testing.T) {
	t.Parallel()
	used := regexp.MustCompile(`cscs_(?:die|check_home) ([a-z]+)`).FindAllStringSubmatch(script(), -1)
	for _, m := range used {
		if !IsErrorKind(m[1]) {
			t.Errorf("%q is no kind", m[0])
		}
	}
	if len(used) < 10 {
		t.Errorf("found only %q", used)
	}
	for kind, want := range map[string]string{"nonode": "nonode", "gone": "gone", "alice": "protocol", "": "protocol", "NoNode": "protocol"} {
		var got *RemoteError
		_, err := Find(t.Context(), says("error\tkind="+kind+"\tmessage=it has no sshd"), "", "nid1")
		if !errors.As(err, &got) || got.Kind != want || got.Message != "it has no sshd" {
			t.Errorf("%q: %#v", kind, err)
		}
	}
}

// TestInfo: what Slurm says of a job and its nodes is taken in as names and numbers alone.
func TestInfo(t *testing.T) {
	t.Parallel()
	for _, word := range hostiletest.Words {
		if strings.ContainsAny(word, " \n\t") {
			continue // which ends a value
		}
		if j := parseJobInfo("JobId=" + word + " NodeList=" + word); j.ID != "" && strings.Trim(j.ID, "0123456789") != "" || len(j.ID) > 100 || len(j.Nodes) > 0 && !IsNode(j.Nodes[0]) {
			t.Errorf("%q: %+v", word, j)
		}
		for _, list := range []string{word, "nid1," + word, word + "[1-2]", "nid[1-2]" + word} {
			if nodes, err := Hostlist(list); err == nil {
				for _, n := range nodes {
					if !IsNode(n) {
						t.Errorf("%q: node %q", list, n)
					}
				}
			}
		}
		f := parseFound(parseLine("session\tid=abcdefgh\tjob=" + word + "|RUNNING|None|0|0|p|a|" + word))
		if f.Job != "" && strings.Trim(f.Job, "0123456789") != "" || len(f.Job) > 100 || len(f.Nodes) > 0 && !IsNode(f.Nodes[0]) {
			t.Errorf("%q: %+v", word, f)
		}
	}
}

// FuzzLine: whatever a login node says, what is taken in of it are jobs, nodes and addresses.
func FuzzLine(f *testing.F) {
	for _, s := range []string{
		"pending\tjob=12", "@alive\tjob=12\tstep=0\tnode=nid1\thostkey=x", "listening\taddr=::1\tport=80\tbound=::", "queue\tjob=1_2\tanswer=PENDING|None|0",
		"granted\tjob=12\tinfo=JobId=12 NodeList=nid[1-2]", "started\tnode=-x\tpid=1\tport=1", "elsewhere\taddr=x\tport=1", "session\tid=abcdefgh\tjob=../x|RUNNING|a|0|0|p|a|nid1",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		l := parseLine(s)
		if l.checkFields() != nil {
			return
		}
		var jobs, nodes, addrs []string
		switch e := l.toEvent().(type) {
		case Pending:
			jobs = append(jobs, e.Job)
		case Queued:
			jobs = append(jobs, e.Job)
		case Granted:
			jobs, nodes = append(jobs, e.Job.ID), e.Job.Nodes
		case Alive:
			jobs, nodes = append(jobs, e.Job), append(nodes, e.Node)
		case Listening:
			addrs = append(addrs, e.Addr)
		case Elsewhere:
			addrs = append(addrs, e.Addr)
		case Vanished:
			addrs = append(addrs, e.Addr)
		}
		if found := parseFound(l); l.isListed() {
			nodes = append(nodes, found.Nodes...)
		}
		for _, j := range jobs {
			if !IsJob(j) {
				t.Errorf("%q: job %q", s, j)
			}
		}
		for _, n := range nodes {
			if !IsNode(n) {
				t.Errorf("%q: node %q", s, n)
			}
		}
		for _, a := range addrs {
			if _, err := netip.ParseAddrPort(a); err != nil {
				t.Errorf("%q: address %q", s, a)
			}
		}
	})
}
