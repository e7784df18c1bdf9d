package problem

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/alps-tunnel/cscs/forward"
	"github.com/alps-tunnel/cscs/forward/chain"
	"github.com/alps-tunnel/cscs/internal/doctor"
	"github.com/alps-tunnel/cscs/internal/key"
	"github.com/alps-tunnel/cscs/session"
	"github.com/alps-tunnel/cscs/slurm"
)

// TestDocumented: each entry of "Fast fixes" and "Frequently encountered issues" in CSCS's
// "Using SSH" is recognised, whoever meets it, and told with the fix that is given there.
func TestDocumented(t *testing.T) {
	for _, tt := range []struct {
		entry string
		errs  []error // all that means it; those of the doctor, too
		says  string  // in the message, or else in the hint
		fix   string
	}{
		{"port already in use locally: pick another", []error{&forward.PortBusyError{Port: 6006}}, "local port 6006 is in use", "--local-port 6007"},
		{"auth prompts loop: verify your SSH MFA, and that your agent is loaded", []error{&chain.AuthError{Hop: "ela", User: "alice", Partial: true, Answered: true, Methods: []string{"keyboard-interactive"}}},
			"verify your SSH MFA to CSCS, and that your SSH agent is correctly set up and loaded with your keys", key.SignCommand},
		{"binds to 127.0.0.1", []error{&slurm.ServerError{Node: "nid1", Reason: "wide", Message: "it listens on 0.0.0.0"}, &session.NotYoursError{Node: "nid1", Port: 6006, Bound: "0.0.0.0"}},
			"ensure the server binds to 127.0.0.1", ""},
		{"service not responding", []error{&session.NothingListensError{Node: "nid1", Port: 6006}},
			"ensure the server binds to 127.0.0.1 and is running on the compute node; confirm that the node matches your current Slurm allocation", "squeue --me"},
		{"NODE matches your allocation", []error{
			&slurm.RemoteError{Kind: "nonode", Message: "no sshd answers on nid1"},
			&chain.AuthError{Hop: "nid1", User: "alice", Accepted: true, Banner: "Access denied by pam_slurm_adopt: you have no active jobs on this node\n"}},
			"confirm that the node matches your current Slurm allocation", "squeue --me"},
		{"too many authentication failures", []error{&chain.AuthError{Hop: "ela", User: "alice", Disconnect: "Too many authentication failures"}, &doctor.ManyKeysError{Keys: 7}},
			"too many authentication failures", "ssh-add -D"},
		{"too many authentication failures, the cause", []error{&chain.AuthError{Hop: "ela", User: "alice", Disconnect: "Too many authentication failures"}, &doctor.ManyKeysError{Keys: 7}},
			"you may have too many keys in your ssh agent", "ssh-add -D"},
		{"permission denied: the key may have expired", []error{&chain.AuthError{Hop: "ela", User: "alice", Methods: []string{"publickey"}}}, "permission denied", key.SignCommand},
		{"permission denied, the cause", []error{&chain.AuthError{Hop: "ela", User: "alice"}, &key.ExpiredError{Path: "k", Until: time.Now()}}, "expired", key.SignCommand},
		{"keys are valid for 24 hours", []error{&key.ExpiredError{Path: "k", Until: time.Now()}, &key.MissingError{Fix: key.SignCommand}, &doctor.Error{ID: "key-expires", Message: "it expires"}}, "24 hours", key.SignCommand},
		{"could not open a connection to your authentication agent", []error{&key.AgentError{Socket: "/s", Err: errors.New("refused")}, &key.NoAgentError{}},
			"could not open a connection to your authentication agent", "eval $(ssh-agent)"},
		{"chmod 0600 ~/.ssh/cscs-key", []error{&key.PermissionsError{Path: "k", Mode: 0o644, Fix: "chmod 600 k"}}, "permissions", "chmod 600 k"},
	} {
		for _, err := range tt.errs {
			p := Of(err)
			if all := strings.ToLower(p.Message + "\n" + p.Hint); !strings.Contains(all, strings.ToLower(tt.says)) {
				t.Errorf("%s: %T says %q, hint %q", tt.entry, err, p.Message, p.Hint)
			}
			if p.Fix != tt.fix {
				t.Errorf("%s: %T has the fix %q, want %q", tt.entry, err, p.Fix, tt.fix)
			}
			if !strings.Contains(p.Hint, p.Fix) {
				t.Errorf("%s: the hint %q lacks the fix %q", tt.entry, p.Hint, p.Fix)
			}
		}
	}
}

// TestDoctorRules: whatever only the doctor finds is in the catalogue, with a hint.
func TestDoctorRules(t *testing.T) {
	for _, err := range []error{
		&doctor.ModeError{Path: "/c", Mode: 0o666, Fix: "chmod 600 /c"}, &doctor.UnwritableError{Path: "/s", Err: errors.New("x")}, &doctor.ClockError{Ahead: -time.Hour, Of: "daint"},
		&doctor.PrincipalError{Host: "ela", User: "alice", For: []string{"bob"}}, &key.UnfitError{Path: "k", Why: key.NoForwarding},
		&doctor.ManyKeysError{Keys: 9}, &doctor.ShutKeyError{Err: &key.PassphraseError{Path: "k", Fix: "cscs key agent"}, Locked: true},
		&chain.HostKeyError{Host: "ela", Kind: chain.HostKeyRevoked, File: "/kh", LineNumber: 3}, &chain.HostKeyError{Host: "ela", Kind: chain.HostKeyBadCert}, &chain.KnownHostsError{File: "/kh", Line: 2, Err: errors.New("x")},
		&doctor.FamilyError{Host: "h", Asked: "ela", Family: "IPv6", Other: "IPv4", Err: errors.New("x")}, &chain.PassedOverError{File: "k", Line: 1, Err: errors.New("bad")},
		&slurm.SilentError{Message: "x", Where: "daint"}, &doctor.PartitionError{Where: "daint"}, &doctor.PartitionError{Name: "normal", Where: "daint"}, &doctor.AccountError{Where: "daint"}, &doctor.AccountError{Account: "g9", Known: []string{"g1"}},
		&doctor.Error{ID: "key-bare", Message: "x"}, &doctor.Error{ID: "key-expires", Message: "x"}, &doctor.Error{ID: "agent-locked", Message: "x"},
		&doctor.Error{ID: "shell-talks", Message: "x"}, &doctor.Error{ID: "shell-slow", Message: "x"}, &doctor.Error{ID: "home-full", Message: "x"},
		&doctor.Error{ID: "too-many-logins", Message: "x"}, &doctor.Error{ID: "quota", Message: "x"},
		&doctor.Error{ID: "node-closed", Message: "x", Err: &chain.AuthError{Hop: "nid1"}}, &doctor.Error{ID: "overtime", Message: "x"},
	} {
		p := Of(err)
		if p.ID == "failure" || p.Code == OK || p.Message == "" || p.Hint == "" || !strings.Contains(p.Hint, p.Fix) || strings.Contains(p.Message, "\n") {
			t.Errorf("%T: %+v", err, p)
		}
	}
	if p := Of(&doctor.Error{ID: "in-no-table", Message: "x"}); p.Code != Failure {
		t.Errorf("an ID without a rule: %+v", p)
	}
}
