//go:build lab

package e2e

import (
	"fmt"
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
	const question = `the key's certificate has expired: have it signed by cscs now\? \[Y/n\] `

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
	says(t, cscs(t, "run", "--", "true").failure(3).Hint, "cscs key sign")
	if n := k.asked("/sign"); n != 0 {
		t.Errorf("%d signings", n)
	}

	// There is no desktop, so that it is by a code.
	m = terminal(t, command...)
	m.expect(question)
	m.send("\r")
	k.approve(m.expect(`with the code (\S+)`)[1])
	m.expect("signed: /home/alice/.ssh/cscs-key, certificate of alice")
	url := m.expect(`http://127\.0\.0\.1:\d+`)[0]
	if _, body := get(t, url); !strings.HasPrefix(body, "alice") {
		t.Errorf("GET %s: %s", url, body)
	}
	m.send(ctrlC)
	if code := m.exit(patience); code != 0 {
		t.Errorf("exit code %d\n%s", code, plain(m.stdout.String()))
	}
}

// TestKeyEarly: a certificate that ends before the job could is told of without a terminal,
// and asked for on one; a job that is short enough is not worth a word.
func TestKeyEarly(t *testing.T) {
	begin(t)
	k := keys(t)
	certificate(t, "+30m")
	long := []string{"--time", "120"}
	s := serve(t, long)
	says(t, s.wait("warning").Message, "the key's certificate ends", "before the job may", "cscs key sign")
	s.ready()
	closeReady(t, s)
	s = serve(t, []string{"--time", "10"})
	s.ready()
	closeReady(t, s)
	if w, warned := s.find("warning"); warned {
		t.Errorf("warned: %s", w.Message)
	}
	m := terminal(t, "run", "--cluster", "daint", "--time", "120", "--", lab.testserver, "127.0.0.1:{port}")
	m.expect(`the key's certificate ends .*, before the job may .*: have it signed anew first\? \[Y/n\] `)
	m.send("y\r")
	k.approve(m.expect(`with the code (\S+)`)[1])
	m.expect("signed: /home/alice/.ssh/cscs-key")
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
	runKey(t, apiKey, "sign").want(0)
	k.set(`{}`)
	return func() {
		t.Helper()
		if left := poll(time.Duration(seconds+5)*time.Second, func() string {
			if keyStatus(t).Usable {
				return "still good"
			}
			return ""
		}); left != "" {
			t.Fatal(left)
		}
	}
}

// TestKeyExpiresQueued: the certificate runs out while the job waits. With one that was
// signed meanwhile the node is reached as ever; without, the session finds the other way, and
// says why.
func TestKeyExpiresQueued(t *testing.T) {
	for _, renewed := range []bool{true, false} {
		t.Run(fmt.Sprintf("renewed=%v", renewed), func(t *testing.T) {
			begin(t)
			k := keys(t)
			job := occupy(t, "alice", "-N", fmt.Sprint(len(lab.Nodes)))
			over := shortLived(t, k, 6)
			s := cscs(t, "run", "--time", "5", "--", lab.testserver, "127.0.0.1:{port}")
			s.wait("queued")
			over()
			if renewed {
				runKey(t, apiKey, "sign").want(0)
			}
			cancelJob(t, job)
			e := s.ready()
			if _, body := get(t, e.URL); !strings.HasPrefix(body, "alice") {
				t.Errorf("GET %s: %s", e.URL, body)
			}
			var step string
			for _, e := range s.events() {
				if e.Event == "warning" && strings.Contains(e.Message, "step") {
					step = e.Message
				}
			}
			if renewed && step != "" {
				t.Errorf("with a certificate that is good: %s", step)
			}
			if !renewed && step == "" {
				t.Error("nothing was said of the expired certificate")
			}
			if !renewed {
				runKey(t, apiKey, "sign").want(0) // else the end could not be seen to
			}
			closeReady(t, s)
		})
	}
}

// TestKeyExpiresReady: what is connected goes on. After a cut, the session tells what is
// missing, and comes back with what cscs key sign has brought, at the same address.
func TestKeyExpiresReady(t *testing.T) {
	begin(t)
	k := keys(t)
	over := shortLived(t, k, 6)
	s := serve(t, []string{"--time", "5"})
	url := s.ready().URL
	over()
	if _, body := get(t, url); !strings.HasPrefix(body, "alice") {
		t.Errorf("GET %s with an expired certificate: %s", url, body)
	}
	cut(t)
	for _, p := range userProcesses() {
		if p.host == "ela" {
			_ = syscall.Kill(p.pid, syscall.SIGKILL)
		}
	}
	s.wait("lost")
	says(t, s.wait("warning").Message, "expired", "cscs key sign")
	tell(t, "heal")
	k.set(`{"validity": 600}`)
	runKey(t, apiKey, "sign").want(0)
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
