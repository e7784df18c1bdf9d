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
	table, form, err := readTable(from.Addr().Is6())
	if err != nil {
		return 0, ErrUnknown
	}
	pid, err := findInTable(table, form, from, to)
	if err != nil {
		return 0, err
	}
	return userOf(pid)
}

// readTable returns the connections of one address family.
func readTable(v6 bool) ([]byte, tableForm, error) {
	const ownerPIDConnections = 4
	family, form := uintptr(windows.AF_INET), tableIPv4
	if v6 {
		family, form = windows.AF_INET6, tableIPv6
	}
	length := uint32(64 << 10)
	for {
		table := make([]byte, length)
		code, _, _ := getExtendedTCPTable.Call(uintptr(unsafe.Pointer(&table[0])), uintptr(unsafe.Pointer(&length)), 0, family, ownerPIDConnections, 0)
		switch {
		case windows.Errno(code) == windows.ERROR_INSUFFICIENT_BUFFER:
			continue
		case code != 0:
			return nil, form, windows.Errno(code)
		}
		return table, form, nil
	}
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
