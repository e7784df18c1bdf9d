//go:build !darwin && !windows

package notify

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/godbus/dbus/v5"

	"github.com/alps-tunnel/cscs/internal/peer"
)

// Names of the Desktop Notifications Specification, version 1.2.
const (
	service = "org.freedesktop.Notifications"
	object  = "/org/freedesktop/Notifications"
)

// urgent keeps the notification on the screen until the user sees it, on desktops that support that.
const urgent = byte(2)

func showNotification(ctx context.Context, title, text string) error {
	bus, err := connectBus(ctx)
	if err != nil {
		return err
	}
	defer bus.Close()
	call := bus.Object(service, object).CallWithContext(ctx, service+".Notify", 0,
		"cscs", uint32(0), "", title, text, []string{}, map[string]dbus.Variant{"urgency": dbus.MakeVariant(urgent)}, int32(-1))
	if call.Err != nil {
		return fmt.Errorf("show notification: %w", call.Err)
	}
	return nil
}

// connectBus connects to the session's bus, if there is one. The function of the library would start a
// bus, and has no timeout.
func connectBus(ctx context.Context) (*dbus.Conn, error) {
	name := busSocket()
	if name == "" {
		return nil, ErrNoDesktop
	}
	c, err := peer.DialSocket(ctx, name, peer.Root)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoDesktop, err)
	}
	bus, err := dbus.NewConn(c, dbus.WithContext(ctx))
	if err != nil {
		_ = c.Close()
		return nil, fmt.Errorf("connect to the session's bus: %w", err)
	}
	if err = bus.Auth(nil); err == nil {
		err = bus.Hello()
	}
	if err != nil {
		_ = bus.Close()
		return nil, fmt.Errorf("connect to the session's bus: %w", err)
	}
	return bus, nil
}

// busSocket returns the socket of the session's bus, or "" if there is none. It ignores addresses of
// other kinds, such as a program to start or a network address.
func busSocket() string {
	list := os.Getenv("DBUS_SESSION_BUS_ADDRESS")
	if list == "" {
		if dir := os.Getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(dir) {
			return filepath.Join(dir, "bus") // systemd's default
		}
		return ""
	}
	for address := range strings.SplitSeq(list, ";") {
		params, ok := strings.CutPrefix(address, "unix:")
		if !ok {
			continue
		}
		for param := range strings.SplitSeq(params, ",") {
			key, value, _ := strings.Cut(param, "=")
			value, err := dbus.UnescapeBusAddressValue(value)
			switch {
			case err != nil:
			case key == "path":
				return value
			case key == "abstract":
				return "@" + value
			}
		}
	}
	return ""
}
