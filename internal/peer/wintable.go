package peer

import (
	"encoding/binary"
	"net/netip"
)

// A tableForm has the offsets of the fields in a row of Windows's table of connections. The table
// begins with the number of rows.
type tableForm struct{ size, addr, local, localPort, remote, remotePort, pid int }

var (
	// tableIPv4 is MIB_TCPROW_OWNER_PID: state, address, port, the remote's, pid.
	tableIPv4 = tableForm{size: 24, addr: 4, local: 4, localPort: 8, remote: 12, remotePort: 16, pid: 20}
	// tableIPv6 is MIB_TCP6ROW_OWNER_PID: address, scope, port, the remote's, state, pid.
	tableIPv6 = tableForm{size: 56, addr: 16, local: 0, localPort: 20, remote: 24, remotePort: 44, pid: 52}
)

// findInTable returns the process with the socket from→to. The error is ErrNoProcess if no process has
// it any more, or ErrUnknown if it is not in the table.
func findInTable(table []byte, form tableForm, from, to netip.AddrPort) (uint32, error) {
	if len(table) < 4 {
		return 0, ErrUnknown
	}
	rows := binary.LittleEndian.Uint32(table)
	for at := 4; rows > 0 && at+form.size <= len(table); at, rows = at+form.size, rows-1 {
		row := table[at : at+form.size]
		local, remote := form.readAddress(row, form.local, form.localPort), form.readAddress(row, form.remote, form.remotePort)
		if local == from && remote == to {
			if pid := binary.LittleEndian.Uint32(row[form.pid:]); pid != 0 {
				return pid, nil
			}
			return 0, ErrNoProcess
		}
	}
	return 0, ErrUnknown
}

func (f tableForm) readAddress(row []byte, addr, port int) netip.AddrPort {
	a, _ := netip.AddrFromSlice(row[addr : addr+f.addr])
	return netip.AddrPortFrom(a, binary.BigEndian.Uint16(row[port:]))
}
