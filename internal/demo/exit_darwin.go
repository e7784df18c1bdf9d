package demo

import (
	"errors"

	"golang.org/x/sys/unix"
)

// awaitExit waits until a child has ended, without reaping it. Until it is reaped, no other process
// or group has its number. It reports whether it could wait. waitid(2) with WNOWAIT would also
// return for a child that is stopped (golang/go#19314).
func awaitExit(pid int) bool {
	queue, err := unix.Kqueue()
	if err != nil {
		return false
	}
	defer func() { _ = unix.Close(queue) }()
	ask := unix.Kevent_t{Fflags: unix.NOTE_EXIT}
	unix.SetKevent(&ask, pid, unix.EVFILT_PROC, unix.EV_ADD|unix.EV_ONESHOT)
	events := make([]unix.Kevent_t, 1)
	for {
		n, err := unix.Kevent(queue, []unix.Kevent_t{ask}, events, nil)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.ESRCH): // the child has ended already
			return true
		case err != nil || n != 1:
			return false
		case events[0].Flags&unix.EV_ERROR != 0:
			return events[0].Data == int64(unix.ESRCH)
		}
		return true
	}
}
