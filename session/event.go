// Package session lives the life of one session: it opens the local listener,
// dials the chain, asks for the allocation, starts the server, forwards, and
// takes all of it down again. It reports what happens as a stream of events
// and never writes to a terminal itself.
package session

import "time"

// EventVersion is the version of the event's form, the field "v".
const EventVersion = 1

// Names of events. They are a contract with whoever reads --json.
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
	EventWarning    = "warning"    // Message, Ends: when the time limit, or Idle, is what is warned of
	EventDetached   = "detached"   // Lease: the session goes on without this process
	EventEnding     = "ending"     // Reason
	EventError      = "error"      // Message, Hint, Code
	EventEnded      = "ended"      // Reason, Code; always last, exactly once
)

// Event is one thing that happened to a session. Fields that do not belong to
// the event's name are empty and left out of the JSON.
type Event struct {
	V       int       `json:"v"`
	Time    time.Time `json:"time"` // UTC, RFC 3339
	Event   string    `json:"event"`
	Session string    `json:"session"`
	Cluster string    `json:"cluster"`

	Host      string     `json:"host,omitempty"`      // a hop's name
	Job       string     `json:"job,omitempty"`       // Slurm's job ID
	Reason    string     `json:"reason,omitempty"`    // why it waits, ends or ended, in plain words
	Start     *time.Time `json:"start,omitempty"`     // Slurm's estimate of the job's start
	Node      string     `json:"node,omitempty"`      // the node that runs the server
	Nodes     []string   `json:"nodes,omitempty"`     // all nodes of the allocation
	Partition string     `json:"partition,omitempty"` //
	Account   string     `json:"account,omitempty"`   //
	Ends      *time.Time `json:"ends,omitempty"`      // when the time limit ends the job; in a warning, also when the session ends unused
	PID       int        `json:"pid,omitempty"`       // of the server, on its node
	URL       string     `json:"url,omitempty"`       // never with a secret in it
	LocalPort int        `json:"local_port,omitempty"`
	Remote    string     `json:"remote,omitempty"` // address of the server on its node, as seen there
	Message   string     `json:"message,omitempty"`
	Hint      string     `json:"hint,omitempty"`  // the command or step that mends it
	Lease     int        `json:"lease,omitempty"` // seconds for which a session may go on that nobody attends; 0: for ever
	Code      *int       `json:"code,omitempty"`  // the exit code that follows from it

	// Link is the URL with which a browser gets in, secret and all, of a session that is ready,
	// or of which Local is told. A warning with a Link changes that. It is for the terminal of the owner alone and never serialised
	// (invariant I6).
	Link string `json:"-"`
	// OwnLink is, with ready and with a Link that comes later, the server's own link with its token at the local port, where Link is another.
	// It is as secret as that.
	OwnLink string `json:"-"`
	// Local is where the local port answers already, by the waiting room, of a session that is queued
	// or granted; with a warning, an address that its Message has in it. Without a secret: for people.
	Local string `json:"-"`
	// Begins is when the job began to run, and Kept whether one that is queued would wait
	// without this process, or, as it is left, does: for people.
	Begins *time.Time `json:"-"`
	Kept   bool       `json:"-"`
	// InJob is, of a tunnel that is ready, the job that the server runs in.
	InJob string `json:"-"`
	// Until is, of a session that is left or a tunnel, when its time limit ends it, if that is known, and Bounded
	// whether that comes before the end of its lease. Earlier says, of a grant, that it came before
	// this process: for people.
	Until   *time.Time `json:"-"`
	Bounded bool       `json:"-"`
	Earlier bool       `json:"-"`
	// Stopped says, with the end, that another process asked for it.
	Stopped bool `json:"-"`
	// Step says, with a warning, that the node is reached by a step of the job.
	Step bool `json:"-"`
	// On is the node that a ready server, or that of a forward, runs on, and LogFile where
	// its log is kept on this machine: for people, who are told in whole sentences.
	On      string `json:"-"`
	LogFile string `json:"-"`
	// Log is the tail of the server's log, with an error or the end, if there is one.
	Log []string `json:"-"`
}
