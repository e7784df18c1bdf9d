package slurm

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/alps-tunnel/cscs/internal/slurmtest"
)

// looks runs the runner's own function over what /proc/net/tcp shows at one look after
// the other, and gives the events of each. A socket is "PORT UID INODE" of 127.0.0.1.
func looks(t *testing.T, setup string, seen ...[]string) []string {
	t.Helper()
	dir := t.TempDir()
	text := strings.ReplaceAll(script(), "$UID", "2001") + `
cscs_dir=$1 cscs_listen=8888 cscs_before=' 127.0.0.1 7000 2001 1 ' cscs_reports=0
declare -A cscs_reported=()
` + setup + "\n"
	for i, sockets := range seen {
		net := filepath.Join(dir, fmt.Sprint(i))
		if err := os.Mkdir(net, 0o700); err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		b.WriteString("  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n")
		for _, s := range sockets {
			var port, uid, inode int
			if _, err := fmt.Sscan(s, &port, &uid, &inode); err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&b, "   0: 0100007F:%04X 00000000:0000 0A 00000000:00000000 00:00000000 00000000 %5d        0 %d 1 0000000000000000 100 0 0 10 0\n", port, uid, inode)
		}
		if err := os.WriteFile(filepath.Join(net, "tcp"), []byte(b.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		text += "cscs_proc_net=$1/" + fmt.Sprint(i) + "; cscs_listeners; cscs_report_elsewhere; echo end >>\"$1/events\"\n"
	}
	out, err := bashCommand(t, text, dir).CombinedOutput()
	if err != nil || len(out) > 0 {
		t.Fatalf("%v: %s", err, out)
	}
	events, err := os.ReadFile(filepath.Join(dir, "events"))
	if err != nil {
		t.Fatal(err)
	}
	var told []string
	for block := range strings.SplitSeq(strings.TrimSuffix(string(events), "end\n"), "end\n") {
		told = append(told, strings.ReplaceAll(strings.TrimSpace(block), "\taddr=127.0.0.1\tport=", " "))
	}
	return told
}

// Other sockets of the user's are told once each; with forwardNew it is told, too, when
// they are gone. The server's, those of before and other users' are none of them.
func TestElsewhere(t *testing.T) {
	seen := [][]string{
		{"7000 2001 1", "8888 2001 2", "9000 2002 3", "9001 0 4", "8787 2001 5"},
		{"7000 2001 1", "8888 2001 2", "8787 2001 5"},
		{"8787 2001 6"},                // another, at the same port
		{"8787 2002 7"},                // mallory's
		{"8787 2002 7", "7000 2001 8"}, // not the one of before
	}
	want := []string{"elsewhere 8787", "", "vanished 8787\nelsewhere 8787", "vanished 8787", "elsewhere 7000"}
	if diff := cmp.Diff(want, looks(t, "cscs_forward_new=1", seen...)); diff != "" {
		t.Errorf("with forwardNew (-want +got):\n%s", diff)
	}
	want = []string{"elsewhere 8787", "", "elsewhere 8787", "", "elsewhere 7000"}
	if diff := cmp.Diff(want, looks(t, "cscs_forward_new=0", seen...)); diff != "" {
		t.Errorf("without (-want +got):\n%s", diff)
	}
}

// A flood of sockets does not fill the event file.
func TestElsewhereFlood(t *testing.T) {
	got := looks(t, "cscs_forward_new=1 cscs_reports_most=2", []string{"1 2001 1", "2 2001 2", "3 2001 3"}, []string{"4 2001 4"})
	all := strings.Join(got, "\n")
	if strings.Count(all, "elsewhere") != 2 || strings.Count(all, "note") != 1 || !strings.HasSuffix(strings.Split(all, "vanished")[0], "cscs reports no more\n") {
		t.Errorf("told %q", all)
	}
}

// The remote half goes on telling of other sockets while the server is up.
func TestForwardNew(t *testing.T) {
	t.Parallel()
	f := slurmtest.New(t)
	id := testID(t)
	r := submit(t.Context(), t, f, &Submission{ID: id, Launch: Launch{Argv: serverArgv("127.0.0.1"), ForwardNew: true}})
	await[Listening](r)
	ln, port := listen(t, "127.0.0.1:0")
	for { // others open ports on this machine, too
		if e := await[Elsewhere](r); e.Addr == ln.Addr().String() {
			break
		}
	}
	_ = ln.Close()
	for {
		if e := await[Vanished](r); strings.HasSuffix(e.Addr, ":"+strconv.Itoa(port)) {
			break
		}
	}
	r.letGo()
	r.wait()
	stopFake(t, f, Stopping{ID: id, Step: "4711.0"})
}

// One watch looks at many ports, each for whoever asks.
func TestLookAtOtherPorts(t *testing.T) {
	f := slurmtest.New(t)
	_, port := listen(t, "127.0.0.1:0")
	e := watch(t, f, port)
	e.look(t)
	for range 5 {
		l, other := listen(t, "127.0.0.1:0")
		for _, want := range []string{"ours", "none"} {
			s, err := e.Probe(t.Context(), other)
			if err != nil || s.Verdict != want || want == "ours" && s.Addr != l.Addr().String() {
				t.Errorf("seen: %+v, %v", s, err)
			}
			if s := e.look(t); s.Verdict != "ours" {
				t.Errorf("seen at the first: %+v", s)
			}
			closeListener(l)
		}
	}
}

// How far the server has come, which sets follow's pace, is not hidden by news of other
// sockets, nor by the client's having read of it before.
func TestSeenByFollow(t *testing.T) {
	dir := t.TempDir()
	lines := "started\tpid=1\nlistening\taddr=127.0.0.1\nelsewhere\taddr=127.0.0.1\nvanished\taddr=127.0.0.1\n"
	if err := os.WriteFile(filepath.Join(dir, "events"), []byte(lines+"clo"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, from := range []int{0, len(lines) - 5, len(lines)} {
		text := fmt.Sprintf("%s\ncscs_dir=$1 cscs_offset=%d; cscs_read_events >/dev/null; echo \"$cscs_offset $cscs_seen\"", script(), from)
		out, err := bashCommand(t, text, dir).CombinedOutput()
		if want := fmt.Sprintf("%d listening\taddr=127.0.0.1\n", len(lines)); err != nil || string(out) != want {
			t.Errorf("from %d: %q, %v", from, out, err)
		}
	}
}
