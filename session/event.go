// Package session runs one session: it opens the local listener, dials the chain, requests the
// allocation, starts the server, forwards connections, and takes all of it down again. It reports
// what happens as a stream of events and never writes to a terminal itself.
package session

import "time"

// EventVersion is the version of the JSON form of an event, in its field "v".
const EventVersion = 1

// Names of events. They are part of the interface of --json.
const (
	EventConnecting = "connecting" // Host
	EventConnected  = "connected"  // Host
	EventQueued     = "queued"     // Job, Reason, Start
	EventGranted    = "granted"    // Job, Node, Nodes, Partition, Account, Ends
	EventStarted    = "started"    // Node, PID
	EventReady      = "ready"      // URL, LocalPort, Remote
	EventForward    = "forward"    // URL, LocalPort, Remote: a further port, with Launch.ForwardNew
	EventLost       = "lost"       // Host, Message
	EventRestored   = "restored"   // Host
	EventWarning    = "warning"    // Message; Ends if the warning is of the time limit or of Idle
	EventDetached   = "detached"   // Lease: the session goes on without this process
	EventEnding     = "ending"     // Reason
	EventError      = "error"      // Message, Hint, Code
	EventEnded      = "ended"      // Reason, Code; always last, exactly once
)

// Event is one event of a session. Fields that do not belong to the event's name are empty and are
// left out of the JSON.
type Event struct {
	V       int       `json:"v"`
	Time    time.Time `json:"time"` // UTC, RFC 3339
	Event   string    `json:"event"`
	Session string    `json:"session"` // its ID; until the cluster has answered attach, what that was given of it, or nothing
	Cluster string    `json:"cluster"`

	Host      string     `json:"host,omitempty"`      // name of a hop
	Job       string     `json:"job,omitempty"`       // Slurm's job ID
	Reason    string     `json:"reason,omitempty"`    // why the job waits, or the session ends or ended, in plain words
	Start     *time.Time `json:"start,omitempty"`     // Slurm's estimate of the job's start
	Node      string     `json:"node,omitempty"`      // the node that runs the server
	Nodes     []string   `json:"nodes,omitempty"`     // all nodes of the allocation
	Partition string     `json:"partition,omitempty"` //
	Account   string     `json:"account,omitempty"`   //
	Ends      *time.Time `json:"ends,omitempty"`      // the end by the time limit; in a warning, also the idle end
	PID       int        `json:"pid,omitempty"`       // of the server, on its node
	URL       string     `json:"url,omitempty"`       // never contains a secret
	LocalPort int        `json:"local_port,omitempty"`
	Remote    string     `json:"remote,omitempty"` // address of the server as its node sees it
	Message   string     `json:"message,omitempty"`
	Hint      string     `json:"hint,omitempty"`  // the command or step that fixes it
	Lease     int        `json:"lease,omitempty"` // seconds that the session may run without a client; 0: forever
	Code      *int       `json:"code,omitempty"`  // the exit code of this outcome

	// Link is the URL with which a browser gets in, including the secret. It comes with ready, and
	// wherever Local is set before that; a warning with a Link replaces it. It is only for the
	// terminal of the session's user and is never serialised (invariant I6).
	Link string `json:"-"`
	// OwnLink is the server's own link with its token, at the local port, if Link is a different
	// one. It comes with ready or with a later Link, and is as secret as Link.
	OwnLink string `json:"-"`
	// Local is the address at which the waiting page answers, while the session is queued or
	// granted. In a warning, it is an address that Message contains. It contains no secret and is
	// for people.
	Local string `json:"-"`
	// Begins is when the job began to run. Kept reports whether a queued job waits without this
	// process, now or after a detach. Both are for people.
	Begins *time.Time `json:"-"`
	Kept   bool       `json:"-"`
	// InJob is the job that the server runs in, if a tunnel is ready.
	InJob string `json:"-"`
	// Until is when the time limit ends a detached session or a tunnel, if that is known. Bounded
	// reports whether that is before the end of the lease. Earlier reports that the job was granted
	// before this process began. All are for people.
	Until   *time.Time `json:"-"`
	Bounded bool       `json:"-"`
	Earlier bool       `json:"-"`
	// Stopped reports, with the end, that another process asked for it.
	Stopped bool `json:"-"`
	// Step reports, with a warning, that the client reaches the node by a job step.
	Step bool `json:"-"`
	// On is the node of a ready server or of a further port. LogFile is where this machine keeps
	// the server's log. Both are for people, who are told in whole sentences.
	On      string `json:"-"`
	LogFile string `json:"-"`
	// Problem is the ID of an error's problem, for maintainers and tests.
	Problem string `json:"-"`
	// Log is the end of the server's log. It comes with an error or the end, if there is a log.
	Log []string `json:"-"`
}
