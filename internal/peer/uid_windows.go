package peer

import (
	"errors"
	"net/netip"
	"os"
	"unsafe"

	"golang.org/x/sys/windows"
)

var getExtendedTCPTable = windows.NewLazySystemDLL("iphlpapi.dll").NewProc("GetExtendedTcpTable")

// askKernel reads the table of connections and their processes (GetExtendedTcpTable,
// TCP_TABLE_OWNER_PID_CONNECTIONS), and asks for the user of the process.
func askKernel(from, to netip.AddrPort) (int, error) {
	table, form, err := readTable(from.Addr().Is6(), ownerPIDConnections)
	if err != nil {
		return 0, ErrUnknown
	}
	pid, err := findInTable(table, form, from, to)
	if err != nil {
		return 0, err
	}
	return userOf(pid)
}

// A TCPListener is a listening socket and its process.
type TCPListener struct {
	Addr netip.AddrPort
	PID  uint32
}

// TCPListeners returns the listening TCP sockets of this machine, as far as Windows tells them.
func TCPListeners() (all []TCPListener) {
	for _, v6 := range []bool{false, true} {
		table, form, err := readTable(v6, ownerPIDListeners)
		if err != nil {
			continue
		}
		for row := range form.rows(table) {
			all = append(all, TCPListener{form.localAddress(row), form.process(row)})
		}
	}
	return all
}

// The classes of tables (TCP_TABLE_CLASS).
const (
	ownerPIDListeners   = 3
	ownerPIDConnections = 4
)

// readTable returns the sockets of one address family.
func readTable(v6 bool, class uintptr) ([]byte, tableForm, error) {
	family, form := uintptr(windows.AF_INET), tableIPv4
	if v6 {
		family, form = windows.AF_INET6, tableIPv6
	}
	length := uint32(64 << 10)
	for {
		table := make([]byte, length)
		code, _, _ := getExtendedTCPTable.Call(uintptr(unsafe.Pointer(&table[0])), uintptr(unsafe.Pointer(&length)), 0, family, class, 0)
		switch {
		case windows.Errno(code) == windows.ERROR_INSUFFICIENT_BUFFER:
			continue
		case code != 0:
			return nil, form, windows.Errno(code)
		}
		return table, form, nil
	}
}

// IsOwnProcess reports whether a process is this user's. One that it may not open counts as another user's.
func IsOwnProcess(pid uint32) bool {
	_, err := userOf(pid)
	return err == nil
}

// userOf returns this user's number if the process is this user's, else ErrStranger. It returns
// ErrUnknown for a process that it may not open: an elevated one, a service's or another user's.
func userOf(pid uint32) (int, error) {
	p, err := windows.OpenProcess(windows.PROCESS_QUERY_LIMITED_INFORMATION, false, pid)
	if err != nil {
		return 0, ErrUnknown
	}
	defer func() { _ = windows.CloseHandle(p) }()
	var token windows.Token
	if err := windows.OpenProcessToken(p, windows.TOKEN_QUERY, &token); err != nil {
		return 0, ErrUnknown
	}
	defer func() { _ = token.Close() }()
	its, itsErr := token.GetTokenUser()
	mine, mineErr := windows.GetCurrentProcessToken().GetTokenUser()
	switch {
	case errors.Join(itsErr, mineErr) != nil:
		return 0, ErrUnknown
	case !windows.EqualSid(its.User.Sid, mine.User.Sid):
		return 0, ErrStranger
	}
	return os.Getuid(), nil
}
