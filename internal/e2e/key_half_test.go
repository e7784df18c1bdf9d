//go:build lab

package e2e

import (
	"os"
	"strings"
	"testing"
)

// TestKeyHalf: with the private half gone no service is asked; what is proposed, pasted, gets a key
// that serves.
func TestKeyHalf(t *testing.T) {
	begin(t)
	k := keys(t)
	if err := os.Remove(laptopHome(".ssh/cscs-key")); err != nil {
		t.Fatal(err)
	}
	n := k.asked("/sign")
	runKey(t, apiKey, "sign").want(3, "no agent", "SSH_AUTH_SOCK") // which may hold it
	sock := "SSH_AUTH_SOCK=" + agent(t)
	refused := runKey(t, sock, apiKey, "sign").want(3, "the private key of /home/alice/.ssh/cscs-key is missing")
	if k.asked("/sign") != n {
		t.Error("the service was asked")
	}
	if s := keyStatus(t); s.Usable {
		t.Errorf("status: %+v", s)
	}
	runKey(t, sock, "status").want(3, strings.Split(strings.TrimSpace(refused.err), "\n")...) // the same words
	_, fix, _ := strings.Cut(refused.err, "create a new key: ")
	output(t, "alice", "laptop", "env", apiKey, "sh", "-c", strings.ReplaceAll(fix, "cscs key sign", lab.bin+" key sign"))
	wellKept(t)
	if s := keyStatus(t); !s.Usable {
		t.Errorf("after %s: %+v", fix, s)
	}
}
