// Package doctor checks each step between this machine and a compute node, in order. Each check
// reports what it saw and, as an error, what is wrong. internal/problem has the texts for the
// user and the fixes; the caller passes them in as Config.Explain.
//
// A check starts when the checks that it depends on have ended. If one of them failed, it is
// skipped. All checks together take at most [Limit], even if a file system or a host hangs.
package doctor

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/alps-tunnel/cscs/forward/chain"
	"github.com/alps-tunnel/cscs/internal/key"
	"github.com/alps-tunnel/cscs/internal/site"
)

// Limit is the longest time that all checks take together.
const Limit = 20 * time.Second

// A Status is the outcome of a check.
type Status string

// The outcomes of a check.
const (
	OK      Status = "ok"
	Warning Status = "warning" // cscs can work with it
	Failure Status = "failure"
	Skipped Status = "skipped" // a check that it depends on failed or could not run
)

// A Result is one thing that a check has seen. Its JSON form is stable: scripts read it.
type Result struct {
	V       int       `json:"v"`
	Time    time.Time `json:"time"`
	Check   string    `json:"check"`
	Host    string    `json:"host,omitempty"` // the host that it is about
	Status  Status    `json:"status"`
	Seen    string    `json:"seen"`              // one line
	Problem string    `json:"problem,omitempty"` // the problem's ID in the catalogue
	Hint    string    `json:"hint,omitempty"`    // the fix, one line for each step
	Fix     string    `json:"fix,omitempty"`     // the part of Hint that can be pasted
	Code    *int      `json:"code,omitempty"`    // the exit code of a command that meets the problem
	Took    float64   `json:"took"`              // seconds

	Err   error  `json:"-"` // what is wrong
	Facts string `json:"-"` // what may be published: see withFacts
}

// An Explanation is an error in the words for the user.
type Explanation struct {
	ID, Message, Hint, Fix string
	Code                   int
}

// A CheckTarget is the route as the configuration has it, before any host is contacted.
type CheckTarget struct {
	Hosts []site.Host // up to the login node; none if HostsErr is set

	HostsErr error // error of the configuration files
	KeyErr   error // error of the keys; then Keys and Hops are empty
	KnownErr error // error of the known_hosts files; then Hops is empty

	Keys    []*key.Identity  // one for each host
	Known   []chain.HostKeys // one for each host
	Hops    []chain.Hop      // one for each host
	Options chain.Options
	Note    []error // warnings about the known_hosts files

	NodeHop func(node string, keys chain.HostKeys) chain.Hop
}

// Config is the input of Run.
type Config struct {
	Account string // the account that the user has chosen; may be empty
	Target  func(context.Context) CheckTarget
	Explain func(error) Explanation

	SSHDir    string      // ~/.ssh
	SSHConfig string      // the user's ssh config
	Settings  string      // config.toml; may be empty
	SiteErr   error       // why the site-wide file, or a part of it, is not used; may be nil
	StateDir  string      // of the records and logs
	Ports     []int       // the local ports that servers usually get
	MustHave  bool        // the user has requested these ports
	CanOpen   func() bool // a browser
	Now       func() time.Time
	Lookup    func(ctx context.Context, network, host string) ([]netip.Addr, error) // nil: the system's resolver
	Limit     time.Duration                                                         // 0: the constant Limit
}

// A check is one step of the route.
type check struct {
	name  string
	after []string // the checks that it depends on
	limit time.Duration
	run   func(*diagnosis, context.Context) []finding
}

// A finding is one thing that a check has seen.
type finding struct {
	host        string
	status      Status
	seen        string // empty if err says it
	err         error
	blockReason string // if not empty: why dependent checks are skipped although this one has not failed
	facts       string
}

func okFinding(host, seen string) []finding { return []finding{{host: host, status: OK, seen: seen}} }

func warningFinding(host string, err error) []finding {
	return []finding{{host: host, status: Warning, err: err}}
}

func failureFinding(host string, err error) []finding {
	return []finding{{host: host, status: Failure, err: err}}
}

func skippedFinding(host, because string) []finding {
	return []finding{{host: host, status: Skipped, seen: because}}
}

// withFacts adds facts to the first of these findings. Users publish them in bug reports (internal/bugreport). So they
// are numbers, versions and words of this program: no name, path, address, or text from another program.
func withFacts(found []finding, format string, args ...any) []finding {
	found[0].facts = fmt.Sprintf(format, args...)
	return found
}

// Run runs all checks and passes each result to tell, in the order of the route. It returns the
// error of the first failure, on which later failures usually depend, or nil.
func Run(ctx context.Context, cfg Config, tell func(Result)) error {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	// A check needs the last second to describe its timeout.
	ctx, cancel := context.WithTimeoutCause(ctx, cmp.Or(cfg.Limit, Limit)-time.Second, errTime)
	defer cancel()
	v := &diagnosis{cfg: cfg, over: map[string]chan struct{}{}, badChecks: map[string]string{}}
	defer v.close()

	all := allChecks()
	results := map[string]chan []Result{}
	for _, c := range all {
		v.over[c.name], results[c.name] = make(chan struct{}), make(chan []Result, 1)
	}
	for _, c := range all {
		v.running.Go(func() {
			defer close(v.over[c.name])
			results[c.name] <- v.runCheck(ctx, c)
		})
	}
	var worst error
	for _, c := range all {
		for _, r := range <-results[c.name] {
			tell(r)
			if r.Status == Failure && worst == nil {
				worst = r.Err
			}
		}
	}
	return worst
}

// allChecks returns all checks in the order of the route.
func allChecks() []check {
	const quick, shake = 5 * time.Second, shakeTime + time.Second/2
	return []check{
		{name: "config", limit: quick, run: (*diagnosis).checkConfig},
		{name: "files", limit: quick, run: (*diagnosis).checkFiles},
		{name: "key", after: []string{"config"}, limit: quick, run: (*diagnosis).checkKey},
		{name: "agent", after: []string{"config"}, limit: quick, run: (*diagnosis).checkAgent},
		{name: "names", after: []string{"config"}, limit: quick, run: (*diagnosis).checkNames},
		{name: "tcp", after: []string{"names"}, limit: quick, run: (*diagnosis).checkTCP},
		{name: "ssh", after: []string{"tcp"}, limit: shake, run: (*diagnosis).checkSSH},
		{name: "host-key", after: []string{"ssh"}, limit: quick, run: (*diagnosis).checkHostKey},
		{name: "auth", after: []string{"key", "host-key"}, limit: quick, run: (*diagnosis).checkAuth},
		{name: "login", after: []string{"auth"}, limit: shake, run: (*diagnosis).checkLogin},
		{name: "shell", after: []string{"login"}, limit: 9 * time.Second, run: (*diagnosis).checkShell},
		{name: "clock", after: []string{"shell"}, limit: quick, run: (*diagnosis).checkClock},
		{name: "home", after: []string{"shell"}, limit: quick, run: (*diagnosis).checkHome},
		{name: "slurm", after: []string{"shell"}, limit: quick, run: (*diagnosis).checkSlurm},
		{name: "partitions", after: []string{"slurm"}, limit: quick, run: (*diagnosis).checkPartitions},
		{name: "account", after: []string{"slurm"}, limit: quick, run: (*diagnosis).checkAccount},
		{name: "sessions", after: []string{"shell"}, limit: quick, run: (*diagnosis).checkSessions},
		{name: "node", after: []string{"slurm"}, limit: quick, run: (*diagnosis).checkNode},
		{name: "ports", limit: quick, run: (*diagnosis).checkPorts},
		{name: "browser", limit: quick, run: (*diagnosis).checkBrowser},
	}
}
