package demo

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"strconv"
	"unsafe"

	"golang.org/x/sys/windows"
)

var getExtendedTCPTable = windows.NewLazySystemDLL("iphlpapi.dll").NewProc("GetExtendedTcpTable")

// findListeners returns the listening sockets with the process of each (GetExtendedTcpTable,
// TCP_TABLE_OWNER_PID_LISTENER). A socket is the user's if its process is.
func findListeners() []listener {
	return append(listenersOf(windows.AF_INET, 24, func(row []byte) listener {
		// MIB_TCPROW_OWNER_PID: state, address, port, remote address and port, pid
		return tableRow(row[4:8], row[8:10], row[20:24])
	}), listenersOf(windows.AF_INET6, 56, func(row []byte) listener {
		// MIB_TCP6ROW_OWNER_PID: address, scope, port, the remote's, state, pid
		return tableRow(row[0:16], row[20:22], row[52:56])
	})...)
}

// tableRow returns the listener of one row. It takes the row's fields as they are in memory.
func tableRow(addr, port, pid []byte) listener {
	a, _ := netip.AddrFromSlice(addr)
	number := binary.LittleEndian.Uint32(pid)
	l := listener{addr: netip.AddrPortFrom(a, binary.BigEndian.Uint16(port)), mine: isMine(number), id: strconv.FormatUint(uint64(number), 10)}
	if !l.mine {
		l.owner = "of process " + l.id
	}
	return l
}

// listenersOf returns the rows of the table of an address family. A row has size bytes.
func listenersOf(family uintptr, size int, row func([]byte) listener) []listener {
	const ownerPIDListener = 3
	length := uint32(16 << 10)
	for {
		buf := make([]byte, length)
		code, _, _ := getExtendedTCPTable.Call(uintptr(unsafe.Pointer(&buf[0])), uintptr(unsafe.Pointer(&length)), 0, family, ownerPIDListener, 0)
		switch {
		case windows.Errno(code) == windows.ERROR_INSUFFICIENT_BUFFER:
			continue
		case code != 0:
			return nil
		}
		var all []listener
		n := int(binary.LittleEndian.Uint32(buf))
		for i := range n {
			if at := 4 + i*size; at+size <= len(buf) {
				all = append(all, row(buf[at:at+size]))
			}
		}
		return all
	}
}

// isMine reports whether a process is of this process's user. A process that cannot be examined
// counts as another user's.
func isMine(pid uint32) bool {
	p, err := windows.OpenProcess(windows.PROCESS_QUERY_LIMITED_INFORMATION, false, pid)
	if err != nil {
		return false
	}
	defer func() { _ = windows.CloseHandle(p) }()
	var token windows.Token
	if err := windows.OpenProcessToken(p, windows.TOKEN_QUERY, &token); err != nil {
		return false
	}
	defer func() { _ = token.Close() }()
	its, err := token.GetTokenUser()
	if err != nil {
		return false
	}
	mine, err := windows.GetCurrentProcessToken().GetTokenUser()
	return err == nil && windows.EqualSid(its.User.Sid, mine.User.Sid)
}

// ofSession returns the listeners of the server's process.
func ofSession(all []listener, _ string, pid int) []listener {
	return slices.DeleteFunc(slices.Clone(all), func(l listener) bool { return l.id != strconv.Itoa(pid) })
}
