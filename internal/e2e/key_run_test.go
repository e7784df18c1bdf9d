//go:build lab

package e2e

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestKeyOffer: a run that has no good key asks whether to have one signed, and goes on
// with it; who says no, or --no-sign, is told what to do.
func TestKeyOffer(t *testing.T) {
	begin(t)
	k := keys(t)
	certificate(t, "-2h:-1h")
	command := []string{"run", "--cluster", "daint", "--", lab.testserver, "127.0.0.1:{port}"}
	const question = `the key's certificate has expired: get it signed now\? \[Y/n\] `

	m := terminal(t, command...)
	m.expect(question)
	m.send("n\r")
	m.expect(`cscs: the key has expired(.|\n)*hint: .*cscs key sign`)
	if code := m.exit(patience); code != 3 {
		t.Errorf("no: exit code %d", code)
	}
	for name, words := range map[string][]string{
		"--no-sign":    slices.Insert(slices.Clone(command), 1, "--no-sign"),
		"CSCS_NO_SIGN": append([]string{"CSCS_NO_SIGN=1"}, command...),
	} {
		m = terminal(t, words...)
		if code := m.exit(patience); code != 3 {
			t.Errorf("%s: exit code %d", name, code)
		}
		if out := plain(m.stdout.String()); strings.Contains(out, "now?") || !strings.Contains(out, "cscs key sign") {
			t.Errorf("%s: %s", name, out)
		}
	}
	says(t, cscs(t, "run", "--", "true").failure(3, "key-expired").Hint, "cscs key sign")
	if err := os.Remove(laptopHome(".ssh/cscs-key-cert.pub")); err != nil {
		t.Fatal(err)
	}
	m = terminal(t, command...)
	m.expect(`/home/alice/\.ssh/cscs-key is not signed: get it signed now\? \[Y/n\] `)
	m.send(ctrlC)
	if code := m.exit(patience); code != 130 {
		t.Errorf("Ctrl-C: exit code %d", code)
	}
	certificate(t, "-2h:-1h")
	if n := k.asked("/sign"); n != 0 {
		t.Errorf("%d signings", n)
	}

	// There is no desktop, so that it is by a code.
	m = terminal(t, command...)
	m.expect(question)
	m.send("\r")
	k.approve(m.expect(`with the code (\S+)`)[1])
	m.expect("signed: /home/alice/.ssh/cscs-key, certificate of alice")
	m.expect("ready: localhost") // the address is shown before that, too
	url := m.expect(`http://127\.0\.0\.1:\d+`)[0]
	if _, body := get(t, url); !strings.HasPrefix(body, "alice") {
		t.Errorf("GET %s: %s", url, body)
	}
	m.send(ctrlC)
	if code := m.exit(patience); code != 0 {
		t.Errorf("exit code %d\n%s", code, plain(m.stdout.String()))
	}
}

// TestKeyOfferNew: a key that is made on the way is not asked the passphrase of that it was
// given a moment ago.
func TestKeyOfferNew(t *testing.T) {
	begin(t)
	k := keys(t)
	for _, name := range []string{"cscs-key", "cscs-key.pub", "cscs-key-cert.pub"} {
		if err := os.Remove(laptopHome(".ssh", name)); err != nil {
			t.Fatal(err)
		}
	}
	m := terminal(t, "run", "--cluster", "daint", "--", lab.testserver, "127.0.0.1:{port}")
	m.expect(`there is no key yet: get it signed now\? \[Y/n\] `)
	m.send("y\r")
	m.expect("Enter passphrase for the new key")
	m.send("über \"alles\"\r")
	m.expect("The same passphrase again")
	m.send("über \"alles\"\r")
	k.approve(m.expect(`with the code (\S+)`)[1])
	m.expect("ready: localhost")
	m.send(ctrlC)
	if code := m.exit(patience); code != 0 {
		t.Errorf("exit code %d", code)
	}
	out := plain(m.stdout.String())
	if strings.Contains(out, "passphrase for key") {
		t.Errorf("it is asked for again:\n%s", out)
	}
	// It does have that passphrase.
	if _, err := try(t, "alice", "laptop", "ssh-keygen", "-y", "-P", "", "-f", ".ssh/cscs-key"); err == nil {
		t.Error("the key has no passphrase")
	}
	output(t, "alice", "laptop", "ssh-keygen", "-y", "-P", "über \"alles\"", "-f", ".ssh/cscs-key")
}

// TestKeyEarly: a certificate that ends before the job could is told of without a terminal,
// and asked for on one; a job that is short enough is not worth a word.
func TestKeyEarly(t *testing.T) {
	begin(t)
	k := keys(t)
	certificate(t, "+30m")
	long, short := serve(t, []string{"--time", "120"}), serve(t, []string{"--time", "10"})
	says(t, long.wait("warning").Message, "the key's certificate ends", "before the job may", "cscs key sign")
	long.ready()
	short.ready()
	if w, warned := short.find("warning"); warned {
		t.Errorf("warned: %s", w.Message)
	}
	closeReady(t, long)
	closeReady(t, short)

	// Whoever has signed in today is not sent to the browser again.
	signing := terminal(t, "key", "sign", "--no-browser", "--force")
	k.signIn(signing.expect(`sign in at: (https://\S+)`)[1])
	if code := signing.exit(patience); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	certificate(t, "+30m")
	m := terminal(t, "run", "--cluster", "daint", "--time", "120", "--", lab.testserver, "127.0.0.1:{port}")
	m.expect(`the key's certificate ends .*, before the job may .*: have it signed anew first\? \[Y/n\] `)
	m.send("y\r")
	m.expect("signed: /home/alice/.ssh/cscs-key")
	m.expect("ready: localhost") // the address is shown before that, too
	m.expect(`http://127\.0\.0\.1:\d+`)
	m.send(ctrlC)
	if code := m.exit(patience); code != 0 {
		t.Errorf("exit code %d\n%s", code, plain(m.stdout.String()))
	}
	if left := keyStatus(t).Left; left < 86000 {
		t.Errorf("signed for %d s", left)
	}
}

// shortLived signs alice's key for some seconds, and says when that is over.
func shortLived(t *testing.T, k keyService, seconds int) (over func()) {
	t.Helper()
	k.set(fmt.Sprintf(`{"validity": %d}`, seconds))
	runKey(t, apiKey, "sign", "--force").want(0)
	k.set(`{}`)
	return func() { t.Helper(); expired(t) }
}

// expired waits until alice's key is not good any more.
func expired(t *testing.T, which ...string) {
	t.Helper()
	if left := poll(30*time.Second, func() string {
		if keyStatus(t, which...).Usable {
			return "still good"
		}
		return ""
	}); left != "" {
		t.Fatal(left)
	}
}

// TestKeyExpiresQueued: the certificate runs out while three jobs wait. One starts before
// there is another: the session goes through a job step, and says why. For one that starts
// when it was signed anew, the node is reached as ever; and a service account's signs by
// itself.
func TestKeyExpiresQueued(t *testing.T) {
	begin(t)
	k := keys(t)
	nodes := lab.Nodes[:3]
	var jobs []string
	for _, n := range nodes { // salloc would wait for 3 s each
		job := output(t, "alice", "daint", "sbatch", "--parsable", "-J", "occupy", "-o", "/dev/null", "-t", "30", "-w", n, "--wrap", "sleep 1000")
		t.Cleanup(func() { cancelJob(t, job) })
		jobs = append(jobs, job)
	}
	for _, job := range jobs {
		if poll(patience, func() string {
			if jobState(t, job) == "RUNNING" {
				return ""
			}
			return "not yet"
		}) != "" {
			t.Fatalf("job %s does not run", job)
		}
	}
	k.set(`{"validity": 10}`)
	runKey(t, apiKey, "sign", "--force").want(0)
	var waiting []*session
	for i, n := range nodes {
		words := []string{"run", "--time", "5", "--nodelist", n, "--", lab.testserver, "127.0.0.1:{port}"}
		if i == 2 { // with a key of its own, since it has that signed at once
			output(t, "alice", "laptop", "ssh-keygen", "-q", "-t", "rsa", "-b", "2048", "-N", "", "-f", ".ssh/other")
			words = slices.Insert(words, 1, "--identity", "/home/alice/.ssh/other")
			words = append([]string{apiKey}, words...)
		}
		waiting = append(waiting, cscs(t, words...))
	}
	for _, s := range waiting {
		s.wait("queued")
	}
	expired(t)
	expired(t, "--identity", "/home/alice/.ssh/other")
	k.set(`{}`)
	for i, s := range waiting {
		before := k.asked("/sign")
		cancelJob(t, jobs[i])
		e := s.ready()
		if _, body := get(t, e.URL); !strings.HasPrefix(body, "alice") {
			t.Errorf("GET %s: %s", e.URL, body)
		}
		told := ""
		for _, e := range s.events() {
			if e.Event == "warning" {
				told += e.Message + "\n"
			}
		}
		switch {
		case i == 0:
			says(t, told, "step", "the key has expired")
			runKey(t, apiKey, "sign", "--force").want(0)
		case strings.Contains(told, "step"):
			t.Errorf("with a certificate that is good: %s", told)
		case i == 2 && k.asked("/sign") != before+1:
			t.Errorf("it was signed %d times", k.asked("/sign")-before)
		}
	}
	for _, s := range waiting {
		s.signal(interrupt)
	}
	for _, s := range waiting {
		s.end(0)
	}
}

// TestKeyExpiresReady: what is connected goes on. When the connection is lost, the session tells what is
// missing, and comes back with what cscs key sign has brought, at the same address.
func TestKeyExpiresReady(t *testing.T) {
	begin(t)
	k := keys(t)
	over := shortLived(t, k, 8)
	s := serve(t, []string{"--time", "5"})
	url := s.ready().URL
	over()
	if _, body := get(t, url); !strings.HasPrefix(body, "alice") {
		t.Errorf("GET %s with an expired certificate: %s", url, body)
	}
	// (TestLiveCertificateExpires: during a cut.)
	for _, p := range userProcesses() {
		if p.host == "ela" {
			_ = syscall.Kill(p.pid, syscall.SIGKILL)
		}
	}
	s.wait("lost")
	says(t, s.wait("warning").Message, "expired", "cscs key sign")
	k.set(`{"validity": 600}`)
	runKey(t, apiKey, "sign", "--force").want(0)
	began := time.Now()
	s.wait("restored")
	if d := time.Since(began); d > 10*time.Second {
		t.Errorf("it took %v to notice the new certificate", d)
	}
	if left := poll(20*time.Second, func() string {
		if code, body := get(t, url); code != 200 {
			return body
		}
		return ""
	}); left != "" {
		t.Errorf("the URL does not answer: %s", left)
	}
	closeReady(t, s)
}
