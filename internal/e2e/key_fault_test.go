//go:build lab

package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestKeyFaults: whatever the service does, it is told in words that help, in time, and
// what is there stays as it is.
func TestKeyFaults(t *testing.T) {
	begin(t)
	k := keys(t)
	// What takes its time does so beside the others, with a key of its own.
	k.set(`{"fault": "slow"}`)
	mkdir(t, laptopHome("slow"))
	began := time.Now()
	slow := start(t, as(context.Background(), "alice", "laptop", apiKey, lab.bin, "key", "sign", "--identity", "/home/alice/slow/key"))
	if poll(patience, func() string { return map[bool]string{true: "not asked"}[k.asked("/sign") == 0] }) != "" {
		t.Fatal("nothing was asked")
	}
	for _, c := range []struct {
		fault string
		code  int
		says  []string
	}{
		{"nonsense", 1, []string{"does not answer as a key service does", "text/html", "sign-in page"}},
		{"no-certificate", 1, []string{"it is not a certificate", "unchanged"}},
		{"flood", 1, []string{"longer than 1 MiB"}},
		{"half", 1, []string{"broke off", "unchanged"}},
		{"401", 3, []string{"Unauthorized", "cscs key sign"}},
		{"429", 3, []string{"too often", "30s"}},
		{"503", 1, []string{"status 503", "try again in a minute"}},
		{"expired", 1, []string{"not valid now", "clock"}},
		{"other-key", 1, []string{"another key"}},
		{"host", 1, []string{"for a host"}},
		{"forged", 1, []string{"signature"}},
	} {
		t.Run(c.fault, func(t *testing.T) {
			k.set(`{"fault": "` + c.fault + `"}`)
			before := sshFiles(t)
			runKey(t, apiKey, "sign", "--force").want(c.code, append(c.says, "hint: ")...)
			if sshFiles(t) != before {
				t.Error("what was there is not as it was")
			}
			wellKept(t)
		})
	}
	t.Run("older", func(t *testing.T) {
		for fault, words := range map[string]string{"half": "broke off", "nonsense": "sign-in page", "no-certificate": "no private key", "429": "too often"} {
			k.set(`{"fault": "` + fault + `"}`)
			before := sshFiles(t)
			m := terminal(t, "key", "sign", "--service", "sshservice", "--force")
			m.expect("Enter passphrase for the new key")
			m.send("\r")
			m.expect("User name")
			m.send("\r") // the certificate's is proposed
			m.expect("Password of alice: ")
			m.send("x\r")
			m.expect("OTP")
			m.send("000000\r")
			if code := m.exit(patience); code == 0 {
				t.Errorf("exit code %d for %s", code, fault)
			}
			says(t, plain(m.stdout.String()), words)
			if sshFiles(t) != before {
				t.Errorf("%s: what was there is not as it was", fault)
			}
			wellKept(t)
		}
	})
	t.Run("slow", func(t *testing.T) {
		if code := slow.exit(20*time.Second - time.Since(began)); code != 1 {
			t.Errorf("exit code %d", code)
		}
		says(t, slow.stderr.String(), "no answer within 10s", "unchanged", "hint: ")
		if left, _ := os.ReadDir(laptopHome("slow")); len(left) > 0 {
			t.Errorf("left: %v", left)
		}
	})
	t.Run("down", func(t *testing.T) {
		tell(t, "keys", "off")
		t.Cleanup(func() { tell(t, "keys", "on") })
		before := sshFiles(t)
		runKey(t, apiKey, "sign", "--force").want(1, "authx-gateway.svc.cscs.ch", "hint: ")
		if sshFiles(t) != before {
			t.Error("what was there is not as it was")
		}
	})
}

// TestKeyDisk: a ~/.ssh that cannot be written, or a disk that is full, costs none of the
// day's signings.
func TestKeyDisk(t *testing.T) {
	t.Run("read-only", func(t *testing.T) {
		begin(t)
		k := keys(t)
		before := sshFiles(t)
		if err := os.Chmod(laptopHome(".ssh"), 0o500); err != nil {
			t.Fatal(err)
		}
		runKey(t, apiKey, "sign", "--force").want(1, "permission denied", "chmod u+rwx /home/alice/.ssh")
		if n := k.asked("/sign"); n != 0 {
			t.Errorf("%d signings", n)
		}
		output(t, "alice", "laptop", "chmod", "u+rwx", "/home/alice/.ssh") // the fix
		if sshFiles(t) != before {
			t.Error("what was there is not as it was")
		}
		runKey(t, apiKey, "sign", "--force").want(0, "signed")
		wellKept(t)
	})
	t.Run("read-only-file-system", func(t *testing.T) {
		begin(t)
		k := keys(t)
		output(t, "root", "laptop", "sh", "-ec", "cd /home/alice; mount --bind .ssh .ssh; mount -o remount,bind,ro .ssh")
		t.Cleanup(func() { output(t, "root", "laptop", "umount", "/home/alice/.ssh") })
		before := sshFiles(t)
		runKey(t, apiKey, "sign", "--force").want(1, "read-only file system", "findmnt -T /home/alice/.ssh")
		if n := k.asked("/sign"); n != 0 || sshFiles(t) != before {
			t.Errorf("%d signings, or what was there is not as it was", n)
		}
	})
	t.Run("full", func(t *testing.T) {
		begin(t)
		k := keys(t)
		output(t, "root", "laptop", "sh", "-ec", `cd /home/alice; cp -a .ssh /tmp/ssh; mount -t tmpfs -o size=32k,mode=700,uid=2001 tmpfs .ssh
			cp -a /tmp/ssh/. .ssh/; rm -r /tmp/ssh; dd if=/dev/zero of=.ssh/filler 2>/dev/null || :`)
		t.Cleanup(func() { output(t, "root", "laptop", "umount", "/home/alice/.ssh") })
		cert := lab.Path("laptop", "/home/alice/.ssh/cscs-key-cert.pub")
		before := readFile(t, cert)
		runKey(t, apiKey, "sign", "--force").want(1, "no space left", "df -h /home/alice/.ssh")
		if n := k.asked("/sign"); n != 0 {
			t.Errorf("%d signings", n)
		}
		if readFile(t, cert) != before {
			t.Error("what was there is not as it was")
		}
		if left, _ := filepath.Glob(lab.Path("laptop", "/home/alice/.ssh/.cscs*")); len(left) > 0 {
			t.Errorf("left: %q", left)
		}
		output(t, "alice", "laptop", "rm", "/home/alice/.ssh/filler")
		runKey(t, apiKey, "sign", "--force").want(0, "signed")
	})
}

// TestKeyAgent: no agent, a locked one, one that is full of other keys; what it is given, it
// forgets with the certificate, and of thirty keys the one is offered.
func TestKeyAgent(t *testing.T) {
	begin(t)
	k := keys(t)
	runKey(t, "SSH_AUTH_SOCK=", "agent").want(3, "could not open a connection to your authentication agent", "eval $(ssh-agent)", "cscs key agent")
	runKey(t, "SSH_AUTH_SOCK=/nowhere", "agent").want(3, "could not open a connection to your authentication agent", "eval $(ssh-agent)")
	sock := "SSH_AUTH_SOCK=" + agent(t)
	output(t, "alice", "laptop", sock, "sh", "-ec", "for i in $(seq 30); do ssh-keygen -q -t ed25519 -N '' -f agent/key$i; ssh-add -q agent/key$i; done")
	if s := keyStatus(t, sock); s.Agent != "lacks" {
		t.Errorf("status: %+v", s)
	}
	// The key's expired certificate goes; the plain key stays, as do the thirty, and another key with its certificate.
	for _, name := range []string{"/home/alice/agent/old", "/home/alice/.ssh/cscs-key"} {
		tell(t, "cert", "alice", "-2h:-1h", "--key", name)
		output(t, "alice", "laptop", sock, "ssh-add", "-q", name)
	}
	k.set(`{"validity": 3600}`)
	runKey(t, apiKey, "sign", "--force").want(0)
	runKey(t, sock, "agent").want(0, "expired, taken out of the agent", "the agent has it")
	if held := strings.Count(output(t, "alice", "laptop", sock, "ssh-add", "-l"), "\n") + 1; held != 34 { // with both keys, and a certificate of each
		t.Errorf("the agent holds %d", held)
	}
	if s := keyStatus(t, sock); s.Agent != "holds" {
		t.Errorf("status: %+v", s)
	}

	// Without the private file, and with servers that hang up at the second key.
	hide(t, laptopHome(".ssh/cscs-key"))
	for _, host := range []string{"ela", "daint", "nid001001"} {
		strict(t, host)
	}
	s := cscs(t, sock, "run", "--nodelist", "nid001001", "--", lab.testserver, "127.0.0.1:{port}")
	s.ready()
	closeReady(t, s)
	// The key is in the agent alone, and is signed anew all the same; the agent goes on with it.
	runKey(t, sock, apiKey, "sign", "--force").want(0, "signed")
	s = cscs(t, sock, "run", "--nodelist", "nid001001", "--", lab.testserver, "127.0.0.1:{port}")
	s.ready()
	closeReady(t, s)
}

// TestKeyAgentLocked: a locked agent holds nothing, and takes nothing.
func TestKeyAgentLocked(t *testing.T) {
	begin(t)
	keys(t)
	sock := "SSH_AUTH_SOCK=" + agent(t)
	put(t, laptopHome("agent/askpass"), "#!/bin/sh\necho lock\n", 0o755)
	askpass := []string{sock, "SSH_ASKPASS=/home/alice/agent/askpass", "SSH_ASKPASS_REQUIRE=force", "ssh-add"}
	output(t, "alice", "laptop", append(askpass, "-x")...)
	runKey(t, sock, "agent").want(3, "agent", "ssh-add -X")
	output(t, "alice", "laptop", append(askpass, "-X")...)
	runKey(t, sock, "agent").want(0, "the agent has it")
	toReady(t, sock)
}

// TestKeyLifetime: the agent forgets the key when its certificate ends.
func TestKeyLifetime(t *testing.T) {
	begin(t)
	k := keys(t)
	sock := "SSH_AUTH_SOCK=" + agent(t)
	k.set(`{"validity": 4}`)
	runKey(t, apiKey, "sign", "--force").want(0)
	runKey(t, sock, "agent").want(0)
	if left := poll(15*time.Second, func() string {
		out, _ := try(t, "alice", "laptop", sock, "ssh-add", "-l")
		return strings.Replace(out, "The agent has no identities.", "", 1)
	}); left != "" {
		t.Errorf("the agent still holds %s", left)
	}
	// It counts in whole seconds, and may be up to two too early.
	if left := poll(15*time.Second, func() string {
		if s := keyStatus(t); s.Usable {
			return fmt.Sprint(s.Left)
		}
		return ""
	}); left != "" {
		t.Errorf("the certificate is good for %s s", left)
	}
	runKey(t, sock, "agent").want(3, "expired", "cscs key sign")
}

// TestKeyOthersReadNothing: what is remembered of a sign-in is for its user alone.
func TestKeyOthersReadNothing(t *testing.T) {
	begin(t)
	k := keys(t)
	m := terminal(t, "key", "sign", "--force", "--no-browser")
	address := m.expect(`sign in at: (https://auth\.cscs\.ch/\S+)`)[1]
	k.signIn(address)
	if code := m.exit(patience); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	token := readFile(t, laptopHome(".cache/cscs/token-cscs.json"))
	_, rest, _ := strings.Cut(token, `"access_token":"`)
	secret, _, _ := strings.Cut(rest, `"`)
	if len(secret) < 20 {
		t.Fatalf("no token in %s", token)
	}
	if found := greps(t, "mallory", "laptop", secret, "/home", "/tmp", "/run", "/proc"); len(found) > 0 {
		t.Errorf("mallory finds the token in %q", found)
	}
	if found := greps(t, "alice", "laptop", secret, "/home/alice"); len(found) != 1 {
		t.Errorf("the token is in %q", found)
	}
	if strings.Contains(plain(m.stdout.String()), secret) {
		t.Error("the token was on the screen")
	}
	// One that others can read is used no more: alice has to sign in again.
	if err := os.Chmod(laptopHome(".cache/cscs/token-cscs.json"), 0o644); err != nil {
		t.Fatal(err)
	}
	runKey(t, "sign", "--force").want(3, "no terminal to sign in")
}
