//go:build !darwin && !windows

package notify

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/alps-tunnel/cscs/internal/waittest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 30 * time.Second

const busConfig = `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:path=%s</listen>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>
`

// bus starts a bus of the test's own, which starts no services, and makes it the session's.
func bus(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	config, name := filepath.Join(dir, "bus.conf"), filepath.Join(dir, "bus")
	if err := os.WriteFile(config, fmt.Appendf(nil, busConfig, name), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	c := exec.CommandContext(ctx, "dbus-daemon", "--config-file="+config, "--nofork", "--nopidfile", "--print-address")
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = c.Wait()
	})
	address, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("dbus-daemon does not say where it is: %v", err)
	}
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", strings.TrimSpace(address))
	return name
}

// A note is what a desktop is asked to show.
type note struct {
	App, Title, Text string
	Urgency          any
}

// A desktop shows notes: it is the service of the specification, on the session's bus.
type desktop struct {
	shown chan note
	stuck chan struct{} // until its end nothing is answered; nil: it is not
}

func (d *desktop) Notify(app string, _ uint32, _, title, text string, _ []string, hints map[string]dbus.Variant, _ int32) (uint32, *dbus.Error) {
	d.shown <- note{app, title, text, hints["urgency"].Value()}
	if d.stuck != nil {
		<-d.stuck
	}
	return 1, nil
}

func newDesktop(t *testing.T) *desktop {
	t.Helper()
	d := &desktop{shown: make(chan note, 10)}
	conn, err := connectBus(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.Export(d, object, service); err != nil {
		t.Fatal(err)
	}
	if reply, err := conn.RequestName(service, dbus.NameFlagDoNotQueue); err != nil || reply != dbus.RequestNameReplyPrimaryOwner {
		t.Fatalf("%v, %v", reply, err)
	}
	return d
}

func TestShow(t *testing.T) {
	name := bus(t)
	d := newDesktop(t)
	want := note{"cscs", "cscs on daint", "job 7 reaches its time limit in 2 min:  b save  it", urgent}
	show := func() {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		if err := Show(ctx, "cscs on daint", "job 7 reaches its time limit in 2 min: <b>save\x1b it"); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, <-d.shown); diff != "" {
			t.Error(diff)
		}
	}
	show()
	// A list of which only one is a socket here.
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", "tcp:host=192.0.2.1,port=1;unixexec:path=/bin/false;unix:guid=00,path="+dbus.EscapeBusAddressValue(name))
	show()
	// Only systemd's place for it.
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", "")
	t.Setenv("XDG_RUNTIME_DIR", filepath.Dir(name))
	show()
}

// A bus without a desktop says so.
func TestNobodyShows(t *testing.T) {
	bus(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var unknown dbus.Error
	if err := Show(ctx, "a", "b"); !errors.As(err, &unknown) || unknown.Name != "org.freedesktop.DBus.Error.ServiceUnknown" {
		t.Errorf("got %v", err)
	}
}

// Where there is no bus, none is started.
func TestNoDesktop(t *testing.T) {
	dir := t.TempDir()
	started := filepath.Join(dir, "started")
	for _, name := range []string{"dbus-launch", "dbus-daemon", "notify-send"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n: >"+started+"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir)
	for _, tt := range []struct{ address, runtime string }{
		{"", ""}, {"", dir}, {"", "relative"}, {"autolaunch:", ""}, {"unix:path=" + dir + "/none", ""}, {"unix:path=%zz", ""},
		{"unixexec:path=" + dir + "/dbus-daemon", ""}, {"tcp:host=127.0.0.1,port=1", dir},
	} {
		t.Setenv("DBUS_SESSION_BUS_ADDRESS", tt.address)
		t.Setenv("XDG_RUNTIME_DIR", tt.runtime)
		if err := Show(t.Context(), "a", "b"); !errors.Is(err, ErrNoDesktop) {
			t.Errorf("%+v: %v", tt, err)
		}
	}
	if _, err := os.Stat(started); err == nil {
		t.Error("something was started")
	}
}

// A bus that says nothing, and a desktop that does not, hold nobody for longer than asked.
func TestHangs(t *testing.T) {
	hang := func(t *testing.T, asked func(cancel func())) {
		t.Helper()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		done := make(chan error, 1)
		go func() { done <- Show(ctx, "a", "b") }()
		asked(cancel)
		if err := waittest.Receive(t, patience, "the end of Show", done); !errors.Is(err, context.Canceled) && !errors.Is(err, net.ErrClosed) {
			t.Errorf("got %v", err)
		}
	}
	t.Run("bus", func(t *testing.T) {
		name := filepath.Join(t.TempDir(), "bus")
		ln, err := net.Listen("unix", name)
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		t.Setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path="+name)
		hang(t, func(cancel func()) {
			c, err := ln.Accept()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(c, make([]byte, 5)); err != nil { // it has begun to speak
				t.Error(err)
			}
			cancel()
			_, _ = io.Copy(io.Discard, c)
			_ = c.Close()
		})
	})
	t.Run("desktop", func(t *testing.T) {
		bus(t)
		d := newDesktop(t)
		d.stuck = make(chan struct{})
		defer close(d.stuck)
		hang(t, func(cancel func()) {
			<-d.shown
			cancel()
		})
	})
}
