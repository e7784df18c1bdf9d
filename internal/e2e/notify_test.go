//go:build lab

package e2e

import (
	"context"
	"testing"
)

// TestNotification: before a session ends unused, the desktop is asked to show that; a desktop
// that does not answer, since nobody is there, disturbs nobody.
func TestNotification(t *testing.T) {
	begin(t)
	mkdir(t, laptopHome("bus"))
	const address = "unix:path=/home/alice/bus/socket"
	on := func(argv ...string) *background {
		return start(t, as(context.Background(), "alice", "laptop", argv...))
	}
	on("XDG_RUNTIME_DIR=/home/alice/bus", "dbus-daemon", "--session", "--nofork", "--nopidfile", "--print-address", "--address="+address).line("unix:")
	monitor := on("DBUS_SESSION_BUS_ADDRESS="+address, "dbus-monitor", "--session", "interface='org.freedesktop.Notifications'")
	monitor.line("NameAcquired")

	m := terminal(t, "DBUS_SESSION_BUS_ADDRESS="+address, "CSCS_IDLE_FLOOR=5s", "run", "--cluster", "daint", "--no-browser",
		"--idle", "8s", "--", lab.testserver, "127.0.0.1:{port}")
	m.expect(`! the server was not used for 4s; the session ends in 4s: use it to keep it`)
	monitor.line("member=Notify")
	monitor.line(`string "cscs on daint"`)
	monitor.line(`string "the server was not used for 4s; the session ends in 4s: use it to keep it"`)
	m.expect(`✓ idle for 8s: job \d+ has ended|\* idle for 8s: job \d+ has ended`)
	if code := m.exit(patience); code != 0 {
		t.Errorf("exit code %d\n%s", code, plain(m.stdout.String()))
	}
}
