package problem

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/alps-tunnel/cscs/forward"
	"github.com/alps-tunnel/cscs/forward/chain"
	"github.com/alps-tunnel/cscs/internal/app"
	"github.com/alps-tunnel/cscs/internal/browser"
	"github.com/alps-tunnel/cscs/internal/doctor"
	"github.com/alps-tunnel/cscs/internal/key"
	"github.com/alps-tunnel/cscs/internal/key/service"
	"github.com/alps-tunnel/cscs/internal/key/signing"
	"github.com/alps-tunnel/cscs/internal/owndir"
	"github.com/alps-tunnel/cscs/internal/registry"
	"github.com/alps-tunnel/cscs/internal/regular"
	"github.com/alps-tunnel/cscs/internal/site"
	"github.com/alps-tunnel/cscs/internal/sshconfig"
	"github.com/alps-tunnel/cscs/session"
	"github.com/alps-tunnel/cscs/slurm"
)

// TestNothingIsMissing: a sentence that names what isn't known yet leaves it out, without a gap, and a job
// of the user's own that a tunnel led into gets no advice for a session's.
func TestNothingIsMissing(t *testing.T) {
	for _, err := range []error{
		&slurm.QueueTimeoutError{Waited: time.Hour},
		&slurm.QueueTimeoutError{Waited: time.Hour, Reason: "other jobs come first"},
		&slurm.JobEndedError{Explained: "was taken back while it waited"},
		&session.StartTimeoutError{Waited: time.Minute, Waiting: "the node to begin"},
		&session.NodeError{Node: "nid1", SSH: errors.New("refused"), Step: errors.New("no step")},
	} {
		if p := Of(err); strings.Contains(p.Message, "  ") || strings.Contains(p.Message, "on was") || strings.HasPrefix(p.Message, " ") {
			t.Errorf("%T: %q", err, p.Message)
		}
	}
	for state, lacks := range map[string]string{"TIMEOUT": "--time", "OUT_OF_MEMORY": "--mem", "CANCELLED": "not by this session"} {
		err := slurm.JobInfo{ID: "7", State: state}.Ended()
		if p := Of(err); p.Code != Allocation || !strings.Contains(p.Message, "job 7") || strings.Contains(p.Message+p.Hint, lacks) {
			t.Errorf("%s: %+v", state, p)
		}
	}
	if err := (slurm.JobInfo{ID: "7", State: "COMPLETED"}).Ended(); err != nil {
		t.Errorf("a job that came to its own end: %v", err)
	}
}

// The hint for a server that cannot start names the way that the place has.
func TestHintOfSetup(t *testing.T) {
	for message, want := range map[string]string{
		"the variable SCRATHC of --workdir is not set on nid1":                                                     "~/.bash_profile",
		"jupyter was not found on nid1 (PATH=/bin)":                                                                "--bootstrap",
		"tensorboard was not found on nid1 (PATH=/bin)":                                                            "--bootstrap",
		"serve was not found on nid1 (PATH=/bin)":                                                                  "--uenv",
		"serve was not found in the uenv on nid1 (PATH=/bin)":                                                      "--view",
		"jupyter was not found in the uenv on nid1 (PATH=/bin)":                                                    "--bootstrap",
		"jupyter was not found on nid1 of the demo, which is this machine (PATH=/bin)":                             "on this machine",
		"--bootstrap installs nothing on the nodes of the demo, which are this machine":                            "omit --bootstrap",
		"--bootstrap failed on nid1: ERROR: OSError: [Errno 122] Disk quota exceeded (command: pip)":               "more space",
		"--bootstrap failed on nid1: ERROR: OSError: [Errno 28] No space left on device (command: python3)":        "more space",
		"--bootstrap cannot write in /opt on nid1":                                                                 "--venv DIR",
		"the virtual environment /v is not complete: --bootstrap was interrupted, or installs now (/v.incomplete)": "--bootstrap",
	} {
		p := Of(&slurm.ServerError{Node: "nid1", Reason: "setup", Message: message})
		if p.ID != "server-setup" || p.Code != Server || !strings.Contains(p.Hint, want) {
			t.Errorf("%s: %+v", message, p)
		}
		if strings.Contains(message, "demo") && strings.Contains(p.Hint, "installs it once") {
			t.Errorf("%s: %s", message, p.Hint)
		}
		if strings.Contains(message, "in the uenv") && strings.Contains(p.Hint, "--uenv") {
			t.Errorf("%s: %s", message, p.Hint)
		}
	}
}

func TestOf(t *testing.T) {
	mine := t.TempDir()
	refusedErr := &net.OpError{Op: "dial", Net: "tcp", Addr: &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 22}, Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	dial := func(err error) error {
		return fmt.Errorf("wrapped: %w", &chain.DialError{Hop: "ela", Addr: "ela.cscs.ch:22", Phase: chain.PhaseConnect, Err: err})
	}
	for _, tt := range []struct {
		err     error
		id      string
		code    int
		message string // must be in it
		hint    string // likewise
	}{
		{nil, "ok", 0, "", ""},
		{errors.New("boom"), "failure", 1, "boom", ""},
		{&key.HomeError{Err: errors.New("$HOME is not defined")}, "no-home", 1, "find a key: $HOME is not defined", "export HOME=$("},
		{&site.HomeError{Sought: "config.toml", Err: errors.New("$HOME is not defined")}, "no-home", 1, "find config.toml: $HOME is not defined", "export HOME="},
		{session.ErrInterrupted, "interrupted", 130, "interrupted", ""},
		{fmt.Errorf("x: %w", context.Canceled), "interrupted", 130, "", ""},
		{&session.TeardownError{Job: "7", Name: "cscs-x", Cluster: "daint", Host: "daint", Err: dial(io.EOF)}, "remains", 6, "cscs-x (7) on daint", "scancel --name=cscs-x on daint"},
		{&session.TeardownError{Name: "cscs-x", Cluster: "daint", Lease: 90 * time.Minute, Err: io.EOF}, "remains", 6, "cscs-x on daint", "its lease of 1h30m is over"},
		{&session.TeardownError{Name: "cscs-x", Cluster: "daint", Host: "daint", Err: fmt.Errorf("dial daint: %w", context.DeadlineExceeded)}, "remains", 6,
			"job cscs-x on daint may still be there: dial daint: no answer in time", "scancel --name=cscs-x on daint"},
		{&session.TeardownError{Name: "cscs-x", Cluster: "daint", Host: "daint", Err: &key.ExpiredError{Path: "k", Until: time.Now()}}, "remains", 6, "expired", key.SignCommand},
		{&session.TeardownError{Job: "7", Name: "cscs-x", Cluster: "daint", Host: "daint", Err: &slurm.RemainsError{Name: "cscs-x", Job: "7"}}, "remains", 6,
			"job cscs-x (7) on daint may still be there: Slurm still has it", "cscs stop x"},
		{context.DeadlineExceeded, "late", 1, "no answer in time", ""},

		{Usagef("port %d", 0), "usage", 2, "port 0", ""},
		{&app.UsageError{App: "jupyter", Arg: "--ip", Message: "no"}, "usage", 2, "jupyter argument --ip: no", ""},
		{&site.ConfigError{File: "c.toml", Line: 2, Column: 3, Message: "bad"}, "config", 2, "c.toml:2:3: bad", ""},
		{&site.UnknownClusterError{Name: "dait", Nearest: "daint", Known: []string{"daint", "eiger"}}, "unknown-cluster", 2, `did you mean "daint"`, "daint, eiger"},
		{&site.UnknownRecipeError{Name: "x", File: "/c.toml"}, "unknown-recipe", 2, `"x"`, "none in /c.toml"},
		{&site.SSHConfigError{Host: "ela", Message: "line 3"}, "ssh-config", 2, "line 3", "ssh -G ela"},
		{&sshconfig.RefusedError{File: "/c", Message: "line 3: bad", Before: true}, "ssh-config", 2, "line 3: bad", "nothing was changed"},
		{&sshconfig.BlockError{File: "/c", Line: 4, Inside: true}, "ssh-config", 2, "a line that is not cscs's (line 4)", "move that line out of the block"},
		{&sshconfig.BlockError{File: "/c", Line: 3}, "ssh-config", 2, "/c has markers of cscs (line 3)", "${EDITOR:-vi} +3 /c"},
		{&sshconfig.WriteError{File: "/c", Line: "Include x", Err: errors.New("read-only file system")}, "ssh-config-file", 1, "read-only", "Include x"},
		{session.ErrSharingProcessLeft, "owner-left", 1, "has ended", "connect again"},
		{&owndir.OwnerError{Dir: "/home/alice/.ssh", Owner: "alice (uid 1001)"}, "other-owner", 2, "/home/alice/.ssh belongs to alice (uid 1001)", "sudo -H"},
		{&registry.TiedError{ID: "k7"}, "tied", 2, "k7 cannot be detached", "cscs stop k7"},
		{&registry.SilentError{ID: "k7", PID: 12}, "silent", 1, "k7 (pid 12) does not answer", "cscs stop k7"},
		{&registry.NotLeftError{ID: "k7", Reason: "stopped"}, "not-left", 1, "k7 was not detached", "cscs logs k7"},
		{&registry.EndedBadlyError{ID: "k7", Outcome: registry.Outcome{Code: 6, Reason: "job 7 may still be there", Hint: "scancel"}}, "ended-badly", 6, "k7: job 7", "scancel"},
		{&session.EndedError{ID: "k7", Cluster: "daint", How: "the lease was not renewed"}, "ended", 2, "k7 on daint has ended: the lease", "cscs logs k7 --cluster daint"},
		{&session.NoNodeError{ID: "k7"}, "not-ready", 1, "k7", "cscs ps"},
		{&site.ProxyCommandError{Host: "a", Command: "nc"}, "proxy-command", 2, "ProxyCommand", "ProxyJump"},

		{&key.MissingError{Looked: []string{"~/.ssh/cscs-key"}, Fix: "cscs key sign"}, "key-missing", 3, "~/.ssh/cscs-key", "cscs key sign"},
		{&key.HalfError{Path: "k", Unasked: true}, "key-half", 3, "private key of k is missing", "SSH_AUTH_SOCK"},
		{&key.HalfError{Path: "k", Fix: "rm k.pub && cscs key sign"}, "key-half", 3, "private key of k is missing", "create a new key: rm k.pub && cscs key sign"},
		{&SigningError{Flags: "--identity k", Err: &key.HalfError{Path: "k", Link: "/usb", Fix: "rm k && cscs key sign --identity k"}}, "key-half", 3, "a link to /usb",
			"the file that the link points to\nor remove the rest and create a new key: rm k && cscs key sign --identity k"},
		{&key.ExpiredError{Path: "k-cert.pub", Until: time.Now()}, "key-expired", 3, "expired", "24 hours"},
		{&key.NotYetValidError{Path: "k-cert.pub", From: time.Now()}, "key-not-yet-valid", 3, "not valid before", "clock"},
		{&key.UnfitError{Path: "k", Why: key.NoPrincipals}, "key-no-principals", 3, "of k is for no user", "cscs key sign"},
		{&key.UnfitError{Path: "k", Why: key.ForcedCommand}, "key-forced-command", 3, "one command alone", "cscs key sign"},
		{&doctor.PrincipalError{Host: "ela", User: "alice", For: []string{"bob"}}, "key-principal", 3, "not for alice", "--user bob, or get one for yourself: cscs key sign --force"},
		{&chain.AuthError{Hop: "ela", User: "alice", Principals: []string{"x; rm y"}}, "key-principal", 3, "is for x; rm y", "--user 'x; rm y', or"},
		{&chain.AuthError{Hop: "ela", User: "alice", Offered: "ED25519", Principals: []string{"alice"}, InTime: true}, "auth-refused", 3, "permission denied", "(source-address): get a new one, valid for 24 hours: cscs key sign --force"},
		{&key.PassphraseError{Path: "k", Fix: "ssh-add k", Err: key.ErrNoTerminal}, "key-passphrase", 3, "passphrase", "ssh-add k"},
		{&key.PassphraseError{Path: "k", Fix: "cscs key agent", Alone: true, Err: key.ErrNoTerminal}, "key-passphrase", 3, "passphrase", "cscs key agent"},
		{&key.PassphraseError{Path: "k", Err: key.ErrNoTerminal}, "key-passphrase", 3, "passphrase", "in a terminal"},
		{&key.PassphraseError{Path: "other", Tries: 3, Fix: "cscs key agent"}, "key-passphrase", 3, "wrong passphrase", "use another key with --identity"},
		{&key.PassphraseError{Path: "k", Tries: 3, Fix: "cscs key agent", Anew: "mv -i k k.away && cscs key sign"}, "key-passphrase", 3, "wrong passphrase", "forgotten it, remove the key and create a new one: mv -i k k.away && cscs key sign"},
		{&doctor.ShutKeyError{Locked: true, Err: &key.PassphraseError{Path: "k", Tries: 3, Fix: "cscs key agent", Anew: "mv -i k k.away && cscs key sign"}}, "key-passphrase", 3, "key k is wrong", "create a new one: mv -i k k.away && cscs key sign"},
		{&key.UnaskedError{Path: "k", Fix: "cscs key passphrase"}, "key-passphrase", 3, "no terminal", "in a terminal: cscs key passphrase"},
		{&doctor.ShutKeyError{Err: &key.PassphraseError{Path: "k", Fix: "cscs key agent"}}, "key-passphrase", 3, "not given here", "add it to the agent"},
		{&key.AgentError{Socket: "/s", Err: key.ErrAgentHangs}, "agent-hangs", 3, "agent (/s) does not answer", "cscs key agent"},
		{&key.PermissionsError{Path: "k", Mode: 0o644, Fix: "chmod 600 k"}, "key-permissions", 3, "0644", "chmod 600 k"},
		{fmt.Errorf("x: %w", &regular.Error{Path: "/a b", Kind: "a FIFO"}), "no-file", 2, "/a b is a FIFO, not a file", "ls -l '/a b'"},
		{&key.FileError{Path: "k", What: "it is not a key"}, "key-file", 3, "not a key", ""},
		{&key.FileError{Path: "thesis.txt", What: "it is not a private key", Stray: true}, "key-file", 3, "thesis.txt", "pass the private key, for example --identity"},
		{&service.SignInError{Host: "auth.cscs.ch", Why: service.SignInPort, Err: errors.New("in use")}, "sign-in", 3, "taken: in use", "cscs key sign --headless"},
		{&service.SignInError{Host: "auth.cscs.ch", Why: service.SignInNobody}, "sign-in", 3, "no terminal to sign in", "CSCS_API_KEY"},
		{&service.SignInError{Host: "h", Why: service.SignInTyped}, "sign-in", 3, "no terminal to ask for name", "in a terminal: cscs key sign\nor get a key in the browser and import it: cscs key import"},
		{&service.SignInError{Host: "h", Why: service.SignInDropped, Err: &service.RefusedError{Host: "h", Op: "sign the key", Status: 401}}, "sign-in", 3, "was refused and is dropped", "--headless"},
		{&SigningError{Flags: "--service sshservice --identity /k", Err: &service.InputError{Message: "no number"}}, "sign-input", 2, "no number", "try again: cscs key sign --service sshservice --identity /k"},
		{&slurm.SilentError{Message: "x", Where: "daint"}, "slurm-silent", 4, "x", "on daint: scontrol ping"},
		{&doctor.PartitionError{Where: "daint"}, "partition", 4, "no partition", "on daint: sinfo -s"},
		{&service.SignInError{Host: "auth.cscs.ch", Why: service.SignInDenied}, "sign-in", 3, "denied", "cscs key sign"},
		{&service.QuotaError{Host: "h", Message: "maximum"}, "sign-quota", 3, "no more keys", "cscs key revoke"},
		{&service.BusyError{Host: "h", Op: "sign the key", After: 90 * time.Second}, "sign-too-often", 3, "too often to sign the key", "in 1m30s"},
		{&service.RefusedError{Host: "h", Op: "sign the key", Status: 401, Message: "no"}, "sign-refused", 3, "h refuses to sign the key (status 401): no", "sign in again"},
		{&service.RefusedError{Host: "h", Op: "revoke key 7", Status: 404, Message: "not found"}, "unknown-serial", 2, "revoke key 7 (status 404): not found", "cscs key list"},
		{&service.AnswerError{Host: "h", Op: "o", What: "it is not JSON"}, "sign-answer", 1, "h does not answer as a key service does", "sign-in page"},
		{&service.DownError{Host: "h", Op: "o", Err: &net.DNSError{IsNotFound: true}}, "sign-down", 1, "no host has this name", "online"},
		{&service.DownError{Host: "h", Op: "o", Err: io.ErrNoProgress}, "sign-down", 1, "cannot ask h", "unchanged"},
		{&service.InputError{Message: "no number"}, "sign-input", 2, "no number", "nothing was sent"},
		{&signing.ReplaceError{Path: "/k"}, "key-replace", 2, "/k was never signed", "mv -i /k /k.away"},
		{&signing.CertificateError{What: "empty"}, "sign-certificate", 1, "empty; your key is unchanged", "cscs key sign"},
		{&signing.CertificateError{What: "over", Err: &key.ExpiredError{}}, "sign-certificate", 1, "over", "clock"},
		{&signing.WriteError{Path: "/no such/dir/cscs-key", Err: os.ErrPermission}, "key-write", 1, "/no such/dir/cscs-key", "mkdir -p '/no such/dir'"},
		{&signing.WriteError{Path: mine + "/x", Err: os.ErrPermission}, "key-write", 1, mine + "/x", "chmod u+rwx " + mine},
		{&sshconfig.WriteError{File: mine + "/x", Err: os.ErrPermission}, "ssh-config-file", 1, mine + "/x", "chmod u+rwx " + mine},
		{&doctor.UnwritableError{Path: mine, IsSSH: true, Err: os.ErrPermission}, "ssh-dir", 1, "cannot write in " + mine, "chmod u+rwx " + mine},
		{&signing.WriteError{Path: "/x/y", Err: full[0]}, "disk-full", 1, "/x/y", "df -h /x"},
		{&signing.WriteError{Path: "/x/y", Err: readOnly[0]}, "key-write", 1, "/x/y", "read-only"},
		{&signing.BusyError{Path: "k"}, "sign-busy", 1, "having k signed", "first"},
		{&signing.SeveralError{Where: "/d", Keys: []string{"/d/a", "/d/b"}}, "import-several", 2, "in /d: /d/a, /d/b", "cscs key import FILE"},
		{&signing.NothingError{Where: "/d"}, "import-nothing", 3, "no key with its certificate in /d", "cscs key import FILE"},
		{&key.UncertifiedError{Path: "k"}, "key-uncertified", 3, "k has no certificate", "cscs key sign"},
		{&key.NoAgentError{}, "agent-none", 3, "could not open a connection to your authentication agent", "cscs key agent"},
		{&key.AgentRefusedError{Socket: "/s", Err: errors.New("failure")}, "agent-refused", 3, "refuses the key", "ssh-add -X"},
		{&site.UnknownSigningError{Name: "x", Known: []string{"cscs"}}, "unknown-signing", 2, `"x"`, "known: cscs"},
		{&key.AgentError{Socket: "/s", Err: errors.New("refused")}, "agent", 3, "could not open a connection to your authentication agent", "eval $(ssh-agent)"},

		{&chain.HostKeyError{Host: "ela.cscs.ch", Kind: chain.HostKeyUnknown, KeyType: "ED25519", Fingerprint: "SHA256:x", Line: "ela.cscs.ch ssh-ed25519 AAAA", File: "/k h"},
			"host-key-unknown", 3, "host key of ela.cscs.ch is not known", "echo 'ela.cscs.ch ssh-ed25519 AAAA' >> '/k h'"},
		{&chain.HostKeyError{Host: "ela.cscs.ch", Kind: chain.HostKeyDeclined}, "host-key-declined", 3, "not confirmed", ""},
		{&chain.HostKeyError{Host: "ela.cscs.ch", Kind: chain.HostKeyChanged, File: "/kh", LineNumber: 3, Fix: "ssh-keygen -R ela.cscs.ch"}, "host-key-changed", 3, "/kh:3", "ssh-keygen -R ela.cscs.ch"},
		{&chain.HostKeyError{Host: "ela.cscs.ch", Kind: chain.HostKeyRevoked}, "host-key-revoked", 3, "revoked", ""},
		{&chain.KnownHostsError{File: "/kh", Line: 2, Err: errors.New("bad @revoked")}, "known-hosts", 3, "/kh", ""},
		{&chain.AuthError{Hop: "ela", User: "alice", Offered: "ED25519"}, "auth-refused", 3, "permission denied by ela for alice", "key may have expired"},
		{&chain.AuthError{Hop: "ela", User: "alice", Disconnect: "Too many authentication failures"}, "auth-too-many", 3, "too many authentication failures", "ssh-add -D"},
		{&chain.AuthError{Hop: "ela", User: "alice", Partial: true, Methods: []string{"keyboard-interactive"}}, "auth-second-factor", 3, "second factor", ""},
		{&chain.AuthError{Hop: "ela", User: "alice", Partial: true, Answered: true, Methods: []string{"keyboard-interactive"}}, "auth-second-factor", 3, "second factor", key.SignCommand},
		{&chain.AuthError{Hop: "ela", User: "alice", Partial: true, Methods: []string{"password"}}, "auth-refused", 3, "password", ""},
		{&chain.AuthError{Hop: "ela", User: "alice", Accepted: true, Banner: "notice\nproject ended\n"}, "auth-refused", 3, "it said: project ended", "--user"},
		{&chain.SignError{Hop: "ela", Offered: "ED25519", Err: io.EOF}, "key-no-signature", 3, "sign for ela", "ssh-add -l"},
		{&chain.AuthError{Hop: "nid1", User: "alice", Accepted: true, Banner: "Access denied by pam_slurm_adopt: you have no active jobs on this node\n"}, "no-job-on-node", 4, "nid1", "squeue --me"},

		{dial(&net.DNSError{Err: "no such host", Name: "ela.cscs.ch", IsNotFound: true}), "no-such-host", 1, "cannot reach ela (ela.cscs.ch:22): no host has this name", "VPN"},
		{dial(&net.DNSError{Err: "server misbehaving", Name: "ela.cscs.ch", IsTemporary: true}), "no-dns", 1, "cannot be resolved", "online"},
		{dial(refusedErr), "connection-refused", 1, "connection refused", "maintenance"},
		{dial(&net.OpError{Op: "dial", Err: syscall.ENETUNREACH}), "no-route", 1, "no route", "online"},
		{dial(context.DeadlineExceeded), "timeout", 1, "no answer", "VPN"},
		{dial(io.EOF), "connection-closed", 1, "closed the connection", "try again"},
		{dial(errors.New("ssh: handshake failed: odd")), "unreachable", 1, "odd", ""},
		{dial(&chain.OpenError{Hop: "ela", Addr: "daint.alps.cscs.ch:22", Reason: "administratively prohibited", Message: "open failed"}), "hop-refused", 1, "ela cannot reach daint.alps.cscs.ch:22: open failed", "certificate"},
		{&chain.OpenError{Hop: "ela", Addr: "session", Reason: "unknown", Message: "no sessions"}, "hop-refused", 1, "ela refuses to run commands", ""},
		{&chain.DialError{Hop: "ela", Addr: "a:22", Said: "Exceeded MaxStartups", Err: io.EOF}, "not-ssh", 1, "Exceeded MaxStartups", "try again"},
		{&chain.LostError{Hop: "ela", Silence: time.Minute, Err: io.EOF}, "connection-lost", 1, "ela lost", ""},
		{refusedErr, "connection-refused", 1, "192.0.2.1:22: connection refused", ""},

		{&slurm.RefusedError{Message: "Invalid account", Accounts: []string{"g1", "g2"}}, "slurm-refused", 4, "Invalid account", "g1, g2"},
		{&slurm.NeverStartsError{Job: "7", Reason: "PartitionTimeLimit", Explained: "too long"}, "never-starts", 4, "too long", "--time"},
		{&slurm.NeverStartsError{Job: "7", Reason: "QOSMaxWallDurationPerJobLimit"}, "never-starts", 4, "", "--time"},
		{&slurm.NeverStartsError{Job: "7", Reason: "AssocGrpCPUMinutesLimit", Accounts: []string{"g1", "g2"}}, "never-starts", 4, "", "your accounts there: g1, g2; choose one, for example --account g1; or ask for less with --time"},
		{&slurm.NeverStartsError{Job: "7", Reason: "InvalidAccount"}, "never-starts", 4, "", "--account"},
		{&slurm.QueueTimeoutError{Job: "7", Waited: time.Hour}, "queue-timeout", 4, "job 7", "--queue-timeout"},
		{&slurm.JobEndedError{Job: "7", State: "TIMEOUT", Explained: "reached its time limit"}, "job-ended", 4, "reached its time limit", "--time"},
		{&slurm.StepError{Job: "7", Message: "no"}, "step", 5, "nothing could be started", ""},
		{&slurm.StepError{Job: "7", Message: "no", OutOfReach: true}, "step", 5, "nothing could be started", "--via sbatch"},
		{&slurm.RemainsError{Name: "cscs-x", Job: "7"}, "remains", 6, "cscs-x", "scancel --name=cscs-x"},
		{&slurm.RemoteError{Kind: "inner", Message: "another shell", Line: &slurm.StartupLine{File: "~/.bashrc", Line: "57", Text: "exec zsh"}}, "remote-inner", 1, "another shell", "make ~/.bashrc stop there in non-interactive shells: insert before line 57: [[ $- == *i* ]] || return"},
		{&slurm.RemoteError{Kind: "inner", Message: "another shell", Line: &slurm.StartupLine{File: "~/.bashrc", Line: "57", Text: "[ -x /bin/zsh ] && exec zsh"}}, "remote-inner", 1, "", "make ~/.bashrc stop there in non-interactive shells: insert before line 57: [[ $- == *i* ]] || return"},
		{&slurm.RemoteError{Kind: "inner", Message: "another shell", Line: &slurm.StartupLine{File: "~/.cshrc", Line: "2", Text: "exec bash"}}, "remote-inner", 1, "", "make ~/.cshrc stop there in non-interactive shells: insert before line 2: if (! $?prompt) exit"},
		{&slurm.RemoteError{Kind: "inner", Message: "another shell", Line: &slurm.StartupLine{File: "~/.config/fish/config.fish", Line: "2", Text: "exec bash"}}, "remote-inner", 1, "", "make ~/.config/fish/config.fish stop there in non-interactive shells: insert before line 2: status is-interactive; or return"},
		{&slurm.RemoteError{Kind: "inner", Message: "another shell"}, "remote-inner", 1, "another shell", "make the start-up files (~/.bashrc, ~/.zshenv, …) start it in interactive shells only: insert before that line: [[ $- == *i* ]] || return"},
		{&slurm.RemoteError{Kind: "input", Message: "was read"}, "remote-input", 1, "was read", "make the start-up files (~/.bashrc, ~/.zshenv, …) read standard input in interactive shells only, with this as their first line: [[ $- == *i* ]] || return"},
		{&slurm.LoginShellError{Host: "daint", Line: &slurm.StartupLine{File: "~/.bash_profile", Line: "3", Text: "exec zsh -l"}}, "login-shell", 1, "~/.bash_profile line 3: exec zsh -l", "make ~/.bash_profile stop there in non-interactive shells: insert before line 3: [[ $- == *i* ]] || return"},
		{&slurm.RemoteError{Kind: "nodir", Message: "/home/a b/.cscs is no directory", Path: "/home/a b/.cscs"}, "remote-nodir", 1, "no directory", "mv '/home/a b/.cscs' '/home/a b/.cscs.old'"},
		{&slurm.RemoteError{Kind: "shell", Message: "the login shell ended", Output: "your project has ended\n"}, "remote-shell", 1, "it said: your project has ended", "log in by hand to see why\nif one of your start-up files (~/.bash_profile, ~/.bashrc, ~/.profile) ends it, make that file do nothing in non-interactive shells, with this as its first line: [[ $- == *i* ]] || return"},
		{&doctor.Error{ID: "shell-talks", Message: "print 1 line"}, "shell-talks", 1, "print 1 line", "[[ $- == *i* ]] || return"},
		{&slurm.ServerError{Node: "nid1", Reason: "wide", Message: "it listens on 0.0.0.0"}, "server-wide", 5, "(on nid1)", "--allow-wide-bind"},
		{&slurm.ServerError{Node: "nid1", Reason: "exit", Message: "ended with status 7 on nid1"}, "server", 5, "status 7 on nid1", ""},
		{&session.NodeError{Node: "nid1", SSH: &chain.AuthError{Hop: "nid1", User: "alice", Accepted: true, Banner: "notice\nclosed\n"}, Step: &chain.DialError{Hop: "nid1", Err: &slurm.RemoteError{Kind: "nosshd", Message: "there is no sshd on nid1"}}},
			"no-way-to-node", 1, "cannot reach nid1 although the job runs there: authenticate to nid1 as \"alice\" with : the key was accepted, and the connection then refused: closed; by a job step: there is no sshd on nid1", "ask the site"},
		{&session.NodeError{Node: "nid1", SSH: refusedErr, Step: &chain.DialError{Hop: "nid1", Err: &slurm.StepError{Job: "7", Message: "Unable to create step"}}},
			"no-way-to-node", 1, "by a job step: Unable to create step", "ask the site"},
		{&session.StartTimeoutError{Node: "nid1", Waited: time.Minute, Waiting: "it", Others: []string{"127.0.0.1:9"}}, "start-timeout", 5, "nid1", "127.0.0.1:9"},
		{&session.ProbeError{Node: "nid1", Err: &app.OpenAccessError{App: "jupyter"}}, "server-open", 5, "no token", "jupyter_server_config"},
		{&session.ProbeError{Node: "nid1", Err: &app.ProbeError{App: "jupyter", Status: 500}}, "server-probe", 5, "500", ""},
		{&session.NotYoursError{Node: "nid1", Port: 6006, Owner: "mallory"}, "not-yours", 1, "another user", ""},
		{&session.NotYoursError{Node: "nid1", Port: 6006, Bound: "0.0.0.0"}, "server-wide", 1, "0.0.0.0", "--allow-wide-bind"},
		{&session.NothingListensError{Node: "nid1", Port: 6006}, "nothing-listens", 1, "6006", "127.0.0.1"},

		{&forward.PortBusyError{Port: 8888, Holder: "python3 (pid 7)"}, "port-busy", 1, "python3 (pid 7)", "--local-port"},
		{&forward.PortDeniedError{Port: 80}, "port-denied", 1, "80", "1023"},
	} {
		p := Of(tt.err)
		if p.ID != tt.id || p.Code != tt.code {
			t.Errorf("%v: got %s with code %d, want %s with %d", tt.err, p.ID, p.Code, tt.id, tt.code)
		}
		if !strings.Contains(p.Message, tt.message) || !strings.Contains(p.Hint, tt.hint) {
			t.Errorf("%v: got %q, hint %q; want in them %q, %q", tt.err, p.Message, p.Hint, tt.message, tt.hint)
		}
		if strings.Contains(p.Message, "\n") {
			t.Errorf("more than one line: %q", p.Message)
		}
		if tt.err != nil && p.Message == "" {
			t.Errorf("%v: nothing is said", tt.err)
		}
	}
}

func TestAt(t *testing.T) {
	err := &slurm.RemoteError{Kind: "shell", Message: "the login shell ended"}
	if p := At("daint", err); p.Message != "daint: the login shell ended" {
		t.Errorf("got %q", p.Message)
	}
	if p := At("daint", &ssh.ExitMissingError{}); strings.HasPrefix(p.Message, "daint") {
		t.Errorf("got %q", p.Message)
	}
}

// A browser that did not come is told of in plain words, not in those of the program that was run.
func TestBrowserProblems(t *testing.T) {
	for want, err := range map[string]error{
		"the browser could not be opened (exit status 4)":                                                &browser.LaunchError{Err: errors.New("exit status 4")},
		"the browser has not opened the session within 30s":                                              &browser.UnusedError{After: 30 * time.Second},
		"the browser has not opened the session within 30s (a process of bob tried to, and was refused)": &browser.UnusedError{After: 30 * time.Second, Refused: "a process of bob"},
	} {
		if p := Of(err); p.Message != want || !strings.Contains(p.Hint, "open the link yourself") {
			t.Errorf("%v: %+v", err, p)
		}
	}
}
