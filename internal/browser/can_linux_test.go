package browser

import (
	"errors"
	"os/exec"
	"strings"
	"testing"
)

func TestOpenWithoutDisplay(t *testing.T) {
	for _, name := range []string{"DISPLAY", "WAYLAND_DISPLAY", "WSL_DISTRO_NAME", "WSL_INTEROP", "BROWSER"} {
		t.Setenv(name, "")
	}
	if err := Open(t.Context(), way); !errors.Is(err, ErrNoBrowser) {
		t.Errorf("Open: %v, want %v", err, ErrNoBrowser)
	}
}

func TestCanOpen(t *testing.T) {
	for _, tt := range []struct {
		env, programs string
		want          bool
	}{
		{"", "xdg-open", false},
		{"DISPLAY=:0", "xdg-open", true},
		{"WAYLAND_DISPLAY=wayland-0", "xdg-open", true},
		{"WSL_DISTRO_NAME=Debian", "xdg-open", true},
		{"BROWSER=firefox", "xdg-open", true},
		{"BROWSER=/opt/code/bin/helper.sh --open", "xdg-open", true},
		{"BROWSER=w3m", "xdg-open", false},
		{"BROWSER=/usr/bin/lynx:firefox", "xdg-open", false},
		{"BROWSER=w3m DISPLAY=:0", "xdg-open", true},
		{"DISPLAY=:0", "x-www-browser", true},
		{"DISPLAY=:0", "www-browser", false},
		{"DISPLAY=:0", "", false},
		{"SSH_CONNECTION=1", "xdg-open", false},
		{"SSH_CONNECTION=1 DISPLAY=localhost:10.0", "xdg-open", true},
	} {
		t.Run(tt.env+" "+tt.programs, func(t *testing.T) {
			getenv := func(name string) string {
				_, after, _ := strings.Cut(" "+tt.env, " "+name+"=")
				value, _, _ := strings.Cut(after, " ")
				return value
			}
			lookPath := func(name string) (string, error) {
				if name == tt.programs {
					return name, nil
				}
				return "", exec.ErrNotFound
			}
			if got := canOpen(getenv, lookPath); got != tt.want {
				t.Errorf("canOpen = %v", got)
			}
		})
	}
}
