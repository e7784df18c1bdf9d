// Package doctor walks the way from this machine to a compute node, in order, and says of
// each step whether it is good: what it saw and, as an error, what is wrong. What
// the user is told of that, and what mends it, is internal/problem's to say; it
// comes in as Config.Explain.
//
// A check is looked at as soon as those are that it rests on; what rests on one that has failed
// is skipped. All of them together take at most [Limit], whatever hangs.
package doctor

import (
	"context"
	"net/netip"
	"time"

	"github.com/alps-tunnel/cscs/forward/chain"
	"github.com/alps-tunnel/cscs/internal/key"
	"github.com/alps-tunnel/cscs/internal/site"
)

// Limit is how long everything takes at most.
const Limit = 20 * time.Second

// A Status is what came of a check.
type Status string

// What may come of it.
const (
	OK      Status = "ok"
	Warning Status = "warning" // cscs gets along with it
	Failure Status = "failure"
	Skipped Status = "skipped" // another that it rests on has failed, or could not be tried
)

// A Result is one thing that a check has seen. Its JSON is a contract with whoever reads it.
type Result struct {
	V       int       `json:"v"`
	Time    time.Time `json:"time"`
	Check   string    `json:"check"`
	Host    string    `json:"host,omitempty"` // that it is about
	Status  Status    `json:"status"`
	Seen    string    `json:"seen"`              // one line
	Problem string    `json:"problem,omitempty"` // its ID in the catalogue
	Hint    string    `json:"hint,omitempty"`    // what mends it, a line for each step
	Fix     string    `json:"fix,omitempty"`     // the one of them that can be pasted
	Code    *int      `json:"code,omitempty"`    // the exit code of a command that meets the problem
	Took    float64   `json:"took"`              // seconds

	Err error `json:"-"` // what was wrong
}

// An Explanation is an error as the user is told it.
type Explanation struct {
	ID, Message, Hint, Fix string
	Code                   int
}

// A CheckTarget is what is known of the way before anybody is asked.
type CheckTarget struct {
	Hosts []site.Host // to the login node; none if HostsErr

	HostsErr error // of the configurations
	KeyErr   error // of the keys; then there are neither Keys nor Hops
	KnownErr error // of the known_hosts files; then there are no Hops

	Keys    []*key.Identity  // one for each host
	Known   []chain.HostKeys // likewise
	Hops    []chain.Hop      // likewise
	Options chain.Options
	Note    []error // what the known_hosts files are warned of

	NodeHop func(node string, keys chain.HostKeys) chain.Hop
}

// Config is what the doctor looks at.
type Config struct {
	Account string // that the user has chosen; may be empty
	Target  func(context.Context) CheckTarget
	Explain func(error) Explanation

	SSHDir    string      // ~/.ssh
	SSHConfig string      // the user's own
	Settings  string      // config.toml; may be empty
	StateDir  string      // where records and logs are kept
	Ports     []int       // local ones that servers usually get
	MustHave  bool        // and these are no mere wish
	CanOpen   func() bool // a browser
	Now       func() time.Time
	Lookup    func(ctx context.Context, network, host string) ([]netip.Addr, error) // nil: the system's
	Limit     time.Duration                                                         // 0: the usual
}

// A Check is one step of the way.
type check struct {
	name  string
	after []string // that it rests on
	limit time.Duration
	run   func(*diagnosis, context.Context) []finding
}

// A finding is what a check has seen.
type finding struct {
	host        string
	status      Status
	seen        string // for err, its explanation says it
	err         error
	blockReason string // why what rests on it cannot be looked at, though it has not failed
}

func okFinding(host, seen string) finding { return finding{host: host, status: OK, seen: seen} }
func warningFinding(host string, err error) finding {
	return finding{host: host, status: Warning, err: err}
}
func failureFinding(host string, err error) finding {
	return finding{host: host, status: Failure, err: err}
}
func skippedFinding(host, because string) finding {
	return finding{host: host, status: Skipped, seen: because}
}
func singleFinding(f finding) []finding { return []finding{f} }

// Run looks at everything and tells each result, in the order of the way. It returns the
// error that the worst of them stands for, which is the first failure: what comes after it rests
// on it, or can wait. nil: there is none.
func Run(ctx context.Context, cfg Config, tell func(Result)) error {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Limit == 0 {
		cfg.Limit = Limit
	}
	// What a check needs to see that its time is up, and to say so.
	ctx, cancel := context.WithTimeoutCause(ctx, cfg.Limit-time.Second, errTime)
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

// allChecks are all of them, in the order of the way.
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
