package chain

import (
	"errors"
	"io"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"github.com/alps-tunnel/cscs/internal/sshtest"
)

func TestErrorTexts(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want string
	}{
		{&DialError{Hop: "ela", Addr: "ela:22", Phase: PhaseConnect, Err: io.EOF}, "connect ela (ela:22): EOF"},
		{&DialError{Hop: "ela", Addr: "ela:22", Phase: PhaseHandshake, Said: "Go away", Err: io.EOF}, `handshake ela (ela:22): EOF; it said "Go away"`},
		{&AuthError{Hop: "ela", User: "alice", Offered: "K"}, `authenticate to ela as "alice" with K: permission denied`},
		{&AuthError{Hop: "ela", User: "alice", Offered: "K", Methods: []string{"publickey", "password"}}, `authenticate to ela as "alice" with K: permission denied (publickey,password)`},
		{&AuthError{Hop: "ela", User: "alice", Offered: "K", Disconnect: "Too many"}, `authenticate to ela as "alice" with K: Too many`},
		{&AuthError{Hop: "ela", User: "alice", Offered: "K", Accepted: true, Banner: "notice\nno jobs\n"}, `authenticate to ela as "alice" with K: the key was accepted, and the connection then refused: no jobs`},
		{&AuthError{Hop: "ela", User: "alice", Offered: "K", Partial: true, Methods: []string{"password"}}, `authenticate to ela as "alice" with K: the key was accepted, and more is asked for (password)`},
		{&SignError{Hop: "ela", Offered: "K", Err: io.EOF}, "sign for ela with K: EOF"},
		{&HostKeyError{Hop: "ela", Host: "ela.cscs.ch", Kind: HostKeyUnknown, KeyType: "RSA", Fingerprint: "SHA256:x"}, "verify host key of ela.cscs.ch (ela): RSA key SHA256:x is not known"},
		{&HostKeyError{Host: "ela", Kind: HostKeyDeclined, KeyType: "RSA", Fingerprint: "SHA256:x"}, "verify host key of ela: RSA key SHA256:x was not confirmed"},
		{&HostKeyError{Host: "ela", Kind: HostKeyChanged, KeyType: "RSA", Fingerprint: "SHA256:x", File: "kh", LineNumber: 3, Reason: "why"}, "verify host key of ela: RSA key SHA256:x is not the one known for it (kh:3): why"},
		{&HostKeyError{Host: "ela", Kind: HostKeyRevoked, KeyType: "RSA", Fingerprint: "SHA256:x", File: "kh", LineNumber: 3}, "verify host key of ela: RSA key SHA256:x is revoked (kh:3)"},
		{&HostKeyError{Host: "ela", Kind: HostKeyBadCert, KeyType: "RSA", Fingerprint: "SHA256:x", Reason: "expired"}, "verify host key of ela: its certificate for RSA key SHA256:x is not valid: expired"},
		{&OpenError{Hop: "ela", Addr: "daint:22", Reason: "connect failed", Message: "Connection refused"}, "open daint:22 from ela: connect failed: Connection refused"},
		{&OpenError{Hop: "ela", Addr: "daint:22", Reason: "connect failed", Message: "connect failed"}, "open daint:22 from ela: connect failed"},
		{&LostError{Hop: "ela", Err: io.ErrUnexpectedEOF}, "connection to ela lost: unexpected EOF"},
		{&KnownHostsError{File: "kh", Line: 3, Err: errors.New("odd")}, "read known hosts: kh:3: odd"},
	} {
		if got := tt.err.Error(); got != tt.want {
			t.Errorf("%q, want %q", got, tt.want)
		}
	}
}

func TestDisconnectMessage(t *testing.T) {
	for text, want := range map[string]string{
		"": "", "EOF": "",
		`ssh: handshake failed: ssh: disconnect, reason 2: "Too many authentication failures"`: "Too many authentication failures",
		`ssh: disconnect, reason 11: "a \x1b[2J: b"`:                                           "a  [2J: b",
		`ssh: disconnect, reason 2: unquoted`:                                                  "unquoted",
	} {
		if got := disconnectMessage(errors.New(text)); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
	if got := disconnectMessage(nil); got != "" {
		t.Error(got)
	}
}

// TestDescribe: a key from an agent is named by what it is, not by its type.
func TestDescribe(t *testing.T) {
	ca, key := sshtest.NewKey(t), sshtest.NewKey(t)
	cert := sshtest.UserCert(t, ca, key.PublicKey(), []string{"alice"})
	held := &agent.Key{Format: cert.Type(), Blob: cert.Marshal()}
	want := `ED25519 certificate "test" (serial 7) for ` + ssh.FingerprintSHA256(key.PublicKey())
	if got := describeKey(held); got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := describeKey(&agent.Key{Format: cert.Type(), Blob: []byte("odd")}); got == "" {
		t.Error("nothing")
	}
	for keyType, want := range map[string]string{
		"sk-ssh-ed25519-cert-v01@openssh.com": "ED25519-SK", "sk-ecdsa-sha2-nistp256@openssh.com": "ECDSA-SK",
		"ssh-rsa-cert-v01@openssh.com": "RSA", "ecdsa-sha2-nistp384": "ECDSA", "ssh-new": "ssh-new",
	} {
		if got := typeName(keyType); got != want {
			t.Errorf("%s: %q, want %q", keyType, got, want)
		}
	}
}
