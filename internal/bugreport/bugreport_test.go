package bugreport

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/alps-tunnel/cscs/forward/chain"
	"github.com/alps-tunnel/cscs/internal/doctor"
	"github.com/alps-tunnel/cscs/internal/registry"
)

// secret is in each text of planted.
const secret = "zebra"

// planted is a report whose every text from a user, a file or another host has the secret.
func planted() Report {
	code, now := 3, time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	errno := &os.PathError{Op: "open", Path: "/home/zebra/key", Err: syscall.EACCES}
	dns := &net.DNSError{Err: "no such host zebra", Name: "zebra.example.org", Server: "zebra", IsNotFound: true}
	return Report{
		Version: "cscs v1", System: "debian 13", SSH: "OpenSSH_10.0p2", Cluster: "zebracluster", Now: now,
		IsProblem: func(id string) bool {
			return slices.Contains([]string{"no-such-host", "queue-timeout", "remote-gone"}, id)
		},
		Results: []doctor.Result{
			{Check: "config", Status: doctor.OK, Seen: "the way is zebra", Facts: "hosts: 2", Took: 0.21},
			{Check: "names", Status: doctor.Failure, Host: "zebrahost", Seen: "zebra", Hint: "ssh zebra", Fix: "zebra", Problem: "no-such-host", Code: &code,
				Err: &chain.DialError{Hop: "zebra", Addr: "zebra:22", Phase: chain.PhaseConnect, Said: "zebra", Err: fmt.Errorf("dial zebra: %w", dns)}},
			{Check: "files", Status: doctor.Warning, Host: "daint", Seen: "zebra", Problem: "Zebra said", Err: errors.Join(errors.New("zebra"), errno)},
		},
		Settings:     File{Data: []byte("default_cluster = 'zebra'\nzebra = 1\n[clusters.zebracluster]\naccount = 'zebra'\nzebra = 'zebra'\n[clusters.daint]\nenv = {ZEBRA = 'zebra'}\n[recipes.zebra]\ncommand = ['zebra']\n[hosts.ela]\nuser = 'zebra'\n")},
		SiteSettings: File{Data: []byte("[clusters.zebrasite]\nhost = 'zebra'\n[clusters.zebracluster]\nuser = 'zebra'\n")},
		SSHConfig:    File{Data: []byte("# zebra\nHost zebra\n  User zebra\nZebra zebra\nHost=zebra\nidentityfile\t\"zebra\"\n")},
		Env:          []string{"CSCS_ACCOUNT"},
		Ended: []registry.Ended{
			{App: "zebra", Cluster: "zebracluster", Job: "7", Partition: "zebra", Reason: "zebra", Code: &code, Problem: "queue-timeout", Ended: now.Add(-2 * time.Hour)},
			{App: "jupyter", Cluster: "daint", Problem: "zebra zebra", Ended: now.Add(-time.Minute)},
			{App: "run", Cluster: "daint", Problem: "zebra", Ended: now},
			{App: "tunnel", Cluster: "daint", Problem: "remote-gone", Ended: now},
		},
	}
}

// TestReport: the report has what a maintainer needs, and no text from the user, a file or another host.
func TestReport(t *testing.T) {
	got := planted().Text()
	if strings.Contains(strings.ToLower(got), secret) {
		t.Errorf("the report has a secret:\n%s", got)
	}
	want := `cscs doctor --report (no values, addresses or texts; unknown names have a number)

version: cscs v1
system:  debian 13
ssh:     OpenSSH_10.0p2

checks on the route to cluster-1:
  ok       config  -       0.2 s  hosts: 2
  failure  names   host-1  0.0 s  no-such-host; exit code 3; chain.DialError (connect) > net.DNSError > name not found
  warning  files   daint   0.0 s  other; fs.PathError > ` + syscall.EACCES.Error() + `

config.toml: clusters.daint.env, clusters.cluster-1.account, default_cluster, hosts.ela.user, recipes.recipe-1.command, unknown keys: 2
site-wide file: clusters.cluster-1.user, clusters.cluster-2.host
ssh config: host 2, user 1, others 1, identityfile 1
environment: CSCS_ACCOUNT
ended sessions, the latest last:
  recipe-1 on cluster-1, 2h0m0s ago, exit code 3, queue-timeout
  jupyter on daint, 1m0s ago, other
  run on daint, 0s ago, other
  tunnel on daint, 0s ago, remote-gone
`
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// TestReportOfNothing: a report without configuration and sessions, or with files that it cannot read, says so.
func TestReportOfNothing(t *testing.T) {
	missing, closed := File{Err: &os.PathError{Path: "/zebra", Err: syscall.ENOENT}}, File{Err: &os.PathError{Path: "/zebra", Err: syscall.EACCES}}
	for _, tt := range []struct {
		report Report
		want   []string
	}{
		{Report{Settings: File{Data: []byte("zebra zebra")}},
			[]string{"config.toml: it is no valid TOML", "ssh config: nothing is set", "environment: nothing is set", "the latest last: none"}},
		{Report{Settings: missing, SSHConfig: missing}, []string{"config.toml: there is none", "ssh config: there is none"}},
		{Report{Settings: closed, SSHConfig: closed}, []string{"config.toml: not read", "ssh config: not read"}},
	} {
		got := tt.report.Text()
		for _, want := range tt.want {
			if !strings.Contains(got, want+"\n") {
				t.Errorf("not in the report: %q\n%s", want, got)
			}
		}
		if strings.Contains(got, secret) {
			t.Errorf("the report has a secret:\n%s", got)
		}
	}
}
