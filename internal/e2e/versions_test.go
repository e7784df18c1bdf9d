//go:build lab

package e2e

import (
	"net"
	"net/http"
	"os"
	"syscall"
	"testing"
	"time"
)

// inBothOrders runs a test twice: with the previous version (internal/e2e/previous-version) as the first and this one as
// the second, and the other way round. What they promise each other is in docs/compatibility.md.
func inBothOrders(t *testing.T, test func(t *testing.T, first, second string)) {
	t.Helper()
	previous, current := os.Getenv("E2E_PREVIOUS"), lab.bin
	if previous == "" {
		t.Fatal("E2E_PREVIOUS must name the built previous version: run scripts/test versions")
	}
	for _, order := range []struct{ name, first, second string }{{"previous-first", previous, current}, {"previous-second", current, previous}} {
		t.Run(order.name, func(t *testing.T) {
			begin(t)
			t.Cleanup(func() { use(current) })
			test(t, order.first, order.second)
		})
	}
}

// use has the commands of the tests be those of that binary, from here on.
func use(binary string) { lab.bin = binary }

// oneRow fails the test unless cscs ps lists that session alone, in that state, with so many processes that attend it. It
// looks again for a while: a process that attends a session takes over its record within seconds.
func oneRow(t *testing.T, id, state string, attached int, words ...string) (row listed) {
	t.Helper()
	var rows []listed
	left := pollEvery(200*time.Millisecond, 20*time.Second, func() string {
		if rows = ps(t, words...); len(rows) != 1 || rows[0].ID != id || rows[0].State != state || len(rows[0].Attached) != attached {
			return "not listed"
		}
		return ""
	})
	if left != "" {
		t.Fatalf("%s ps %q: %+v; want %s, %s, attended by %d", lab.bin, words, rows, id, state, attached)
	}
	return rows[0]
}

// noRow fails the test if one of the versions still lists a session.
func noRow(t *testing.T, versions ...string) {
	t.Helper()
	for _, v := range versions {
		use(v)
		if rows := ps(t); len(rows) != 0 {
			t.Errorf("%s ps: %+v", v, rows)
		}
	}
}

// TestVersionsSession: one version lists, opens, attaches, detaches and stops a session of the other, over the same record,
// control socket and login connection, and both know that it has ended.
func TestVersionsSession(t *testing.T) {
	inBothOrders(t, func(t *testing.T, first, second string) {
		use(first)
		s := serve(t, nil)
		ready := s.ready()
		granted, _ := s.find("granted")
		use(second)
		for _, flags := range [][]string{nil, {"--refresh"}} {
			row := oneRow(t, ready.Session, "ready", 1, flags...)
			if row.Job != granted.Job || row.Node != granted.Node || row.App != "run" || row.Cluster != "daint" || row.URL != ready.URL {
				t.Errorf("ps %q: %+v, granted %+v", flags, row, granted)
			}
		}
		says(t, mustCmd(t, "open", "--no-browser"), ready.URL)
		says(t, mustCmd(t, "logs", ready.Session[:4]), "listens")

		beside := attach(t, nil, ready.Session)
		there := beside.ready()
		answers(t, ready.URL)
		answers(t, there.URL)
		use(first)
		oneRow(t, ready.Session, "ready", 2)
		oneRow(t, ready.Session, "ready", 2, "--refresh")
		if n := logins(); n != 1 {
			t.Errorf("%d logins of two clients", n)
		}
		use(second)
		says(t, mustCmd(t, "detach", ready.Session), ready.Session)
		s.end(0)
		oneRow(t, ready.Session, "ready", 1)
		answers(t, there.URL)
		use(first)
		oneRow(t, ready.Session, "ready", 1)
		mustCmd(t, "detach", ready.Session)
		beside.end(0)
		oneRow(t, ready.Session, "detached", 0)

		use(second)
		oneRow(t, ready.Session, "detached", 0, "--refresh")
		again := attach(t, nil)
		answers(t, again.ready().URL)
		use(first)
		oneRow(t, ready.Session, "ready", 1)
		mustCmd(t, "stop", ready.Session)
		again.end(0)
		noRow(t, first, second)
		for _, v := range []string{first, second} {
			use(v)
			says(t, mustCmd(t, "ps"), ready.Session+" ended", "job "+granted.Job)
		}
	})
}

// TestVersionsKilledClient: one version attends a session whose client, of the other version, was killed; and when that
// client is killed too, the first stops the session.
func TestVersionsKilledClient(t *testing.T) {
	inBothOrders(t, func(t *testing.T, first, second string) {
		use(first)
		s := serve(t, nil)
		id := s.ready().Session
		_ = syscall.Kill(clientProcess(t), syscall.SIGKILL)
		s.exit(patience)
		use(second)
		oneRow(t, id, "unattended", 0)
		again := attach(t, nil)
		answers(t, again.ready().URL)
		_ = syscall.Kill(clientProcess(t), syscall.SIGKILL)
		again.exit(patience)
		use(first)
		oneRow(t, id, "unattended", 0)
		says(t, mustCmd(t, "stop"), id)
		noRow(t, first, second)
	})
}

// TestVersionsElsewhere: on another laptop, which has no record of the session, the other version finds it on the cluster,
// attaches and stops it.
func TestVersionsElsewhere(t *testing.T) {
	inBothOrders(t, func(t *testing.T, first, second string) {
		use(first)
		s := serve(t, nil)
		ready := s.ready()
		use(second)
		row := oneRow(t, ready.Session, "ready", 1, another, "--refresh", "--cluster", "daint")
		if row.App != "run" || row.Node == "" {
			t.Errorf("found %+v", row)
		}
		elsewhere := attach(t, []string{another}, ready.Session, "--cluster", "daint")
		answers(t, elsewhere.ready().URL)
		elsewhere.signal(syscall.SIGINT)
		elsewhere.end(0)
		answers(t, ready.URL)
		mustCmd(t, another, "stop", ready.Session, "--cluster", "daint")
		s.end(0)
		noRow(t, first, second)
	})
}

// TestVersionsQueued: one version attends a session that the other has left in the queue, and stops it there or when it
// runs.
func TestVersionsQueued(t *testing.T) {
	inBothOrders(t, func(t *testing.T, first, second string) {
		settle(t)
		job := occupy(t, "mallory", "-N", "3", "--exclusive")
		use(first)
		s := serve(t, []string{"--detach"})
		s.end(0)
		id := s.events()[0].Session
		use(second)
		oneRow(t, id, "queued", 0, "--refresh")
		waiting := attach(t, nil, id)
		waiting.wait("queued")
		waiting.signal(syscall.SIGINT)
		waiting.end(0)
		use(first)
		oneRow(t, id, "queued", 0, "--refresh")
		again := attach(t, nil, id)
		again.wait("queued")
		cancelJob(t, job)
		answers(t, again.ready().URL)
		use(second)
		mustCmd(t, "stop", id)
		again.end(0)

		use(first)
		s = serve(t, []string{"--detach", "--slurm=--begin=now+1hour"})
		s.end(0)
		use(second)
		says(t, mustCmd(t, "stop"), s.events()[0].Session)
		noRow(t, first, second)
	})
}

// TestVersionsSharedConnection: sessions of both versions share one login, also when the process that has it ends or is
// killed. (Versions with another number of the protocol would each log in.)
func TestVersionsSharedConnection(t *testing.T) {
	inBothOrders(t, func(t *testing.T, first, second string) {
		use(first)
		a := serve(t, nil)
		a.ready()
		use(second)
		b := serve(t, nil)
		urlB := b.ready().URL
		pidB := clientProcess(t)
		use(first)
		c := serve(t, nil)
		urlC := c.ready().URL
		if n := logins(); n != 1 {
			t.Errorf("%d logins of three sessions", n)
		}
		a.signal(syscall.SIGINT)
		a.end(0)
		answers(t, urlB)
		answers(t, urlC)
		if n := logins(); n != 1 {
			t.Errorf("%d logins when the first has ended", n)
		}
		_ = syscall.Kill(pidB, syscall.SIGKILL)
		b.exit(patience)
		if left := poll(20*time.Second, func() string {
			if code, body := get(t, urlC); code != http.StatusOK {
				return body
			}
			return ""
		}); left != "" {
			t.Errorf("the last does not answer: %s", left)
		}
		use(second)
		mustCmd(t, "stop", "--all")
		c.end(0)
		noRow(t, first, second)
	})
}

// TestVersionsTunnel: a tunnel of one version leads to the server of the other's session.
func TestVersionsTunnel(t *testing.T) {
	inBothOrders(t, func(t *testing.T, first, second string) {
		use(first)
		s := serve(t, nil)
		_, port, err := net.SplitHostPort(s.ready().Remote)
		if err != nil {
			t.Fatal(err)
		}
		granted, _ := s.find("granted")
		use(second)
		tunnel := cscs(t, "tunnel", "--job", granted.Job, "--port", port)
		answers(t, tunnel.ready().URL)
		tunnel.signal(syscall.SIGINT)
		tunnel.end(0)
		s.signal(syscall.SIGINT)
		s.end(0)
	})
}

// TestVersionsSSH: what one version has written into ssh's configuration leads to the node of the other's session, the other
// replaces it, and this version removes what both have written. (An older one may leave comments of a newer one.)
func TestVersionsSSH(t *testing.T) {
	inBothOrders(t, func(t *testing.T, first, second string) {
		config := laptopHome(".ssh/config")
		put(t, config, "Host other\n", 0o600)
		t.Cleanup(func() { _ = os.Remove(config + ".before-cscs") })
		use(first)
		mustCmd(t, "ssh-config", "--install")
		use(second)
		s := serve(t, []string{"--nodelist", "nid001001"})
		host := "cscs-" + s.ready().Session
		for range 2 {
			if got := mustSSH(t, nil, "ssh", host, "hostname"); got != "nid001001" {
				t.Errorf("%s is %s", host, got)
			}
			mustCmd(t, "ssh-config", "--install")
		}
		s.signal(syscall.SIGINT)
		s.end(0)
		use(os.Getenv("E2E_BIN"))
		mustCmd(t, "ssh-config", "--uninstall")
		if after := readFile(t, config); after != "Host other\n" {
			t.Errorf("left in ssh's configuration: %s", after)
		}
	})
}

// TestVersionsConfig: both versions read one config.toml alike.
func TestVersionsConfig(t *testing.T) {
	inBothOrders(t, func(t *testing.T, first, second string) {
		_ = os.MkdirAll(laptopHome(".config"), 0o755)
		mkdir(t, laptopHome(".config/cscs"))
		put(t, laptopHome(".config/cscs/config.toml"), `default_cluster = "daint"
[clusters.daint]
partition = "debug"
[recipes.notes]
command = ["python3", "-m", "notes", "{port}"]
time = "0:20:00"
`, 0o644)
		for _, v := range []string{first, second} {
			use(v)
			says(t, mustCmd(t, "run", "notes", "--dry-run"), "debug", "notes", "20:00")
		}
		put(t, laptopHome(".config/cscs/config.toml"), "default_cluster = \"daint\"\n[clusters.daint]\nlater = 1\n", 0o644)
		for _, v := range []string{first, second} { // strict: see docs/compatibility.md
			use(v)
			out, err := cmd(t, "run", "--dry-run", "--", "true")
			if err == nil {
				t.Errorf("%s has taken an unknown key: %s", v, out)
			}
			says(t, out, "config.toml", "later")
		}
	})
}
