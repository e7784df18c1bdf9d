package peer

import (
	"encoding/binary"
	"iter"
	"net/netip"
	"slices"
)

// A tableForm has the offsets of the fields in a row of Windows's tables of connections and of listeners.
// A table begins with the number of rows.
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
	for row := range form.rows(table) {
		if form.localAddress(row) == from && form.readAddress(row, form.remote, form.remotePort) == to {
			if pid := form.process(row); pid != 0 {
				return pid, nil
			}
			return 0, ErrNoProcess
		}
	}
	return 0, ErrUnknown
}

// rows returns the rows of a table, as many as it says and contains.
func (f tableForm) rows(table []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		if len(table) < 4 {
			return
		}
		n := binary.LittleEndian.Uint32(table)
		for row := range slices.Chunk(table[4:], f.size) {
			if n == 0 || len(row) < f.size || !yield(row) {
				return
			}
			n--
		}
	}
}

func (f tableForm) process(row []byte) uint32 { return binary.LittleEndian.Uint32(row[f.pid:]) }

func (f tableForm) localAddress(row []byte) netip.AddrPort {
	return f.readAddress(row, f.local, f.localPort)
}

func (f tableForm) readAddress(row []byte, addr, port int) netip.AddrPort {
	a, _ := netip.AddrFromSlice(row[addr : addr+f.addr])
	return netip.AddrPortFrom(a, binary.BigEndian.Uint16(row[port:]))
}
