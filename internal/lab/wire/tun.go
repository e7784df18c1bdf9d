//go:build linux

package main

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// maxPacket is the size of the largest packet of a tun device: 64 KiB and the virtio header.
const maxPacket = 64<<10 + 10

// openTun creates a tun device. Packets come with a virtio header, which wire passes to the other end
// unchanged. So the kernels on both sides treat 64 KiB as one packet, and still count segments of
// 1,460 bytes in their congestion windows, as over a real line.
//
// The device is created in the caller's network namespace and may be moved. The descriptor then still
// works, and does not keep the new namespace alive.
func openTun(name string, offload bool) (*os.File, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open /dev/net/tun: %w", err)
	}
	req, err := unix.NewIfreq(name)
	if err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("name device %q: %w", name, err)
	}
	req.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI | unix.IFF_VNET_HDR)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, req); err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("create device %q: %w", name, err)
	}
	// Only now: the poller refuses a tun descriptor that has no device yet.
	f := os.NewFile(uintptr(fd), name)
	if err := setOffload(f, offload); err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// setOffload turns a device's segmentation offload on or off.
func setOffload(f *os.File, on bool) error {
	flags := 0
	if on {
		flags = unix.TUN_F_CSUM | unix.TUN_F_TSO4 | unix.TUN_F_TSO6
	}
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var set error
	if err := raw.Control(func(fd uintptr) { set = unix.IoctlSetInt(int(fd), unix.TUNSETOFFLOAD, flags) }); err != nil {
		return err
	}
	if set != nil {
		return fmt.Errorf("set offload of %s: %w", f.Name(), set)
	}
	return nil
}

// sleepUntil sleeps in the kernel. A Go timer depends on a poller with a resolution of milliseconds,
// which is too coarse for a round trip of 20 ms.
func sleepUntil(t time.Time) {
	for {
		d := time.Until(t)
		if d <= 0 {
			return
		}
		ts := unix.NsecToTimespec(int64(d))
		_ = unix.Nanosleep(&ts, nil) // the loop handles an interruption
	}
}
