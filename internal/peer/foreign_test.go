package peer

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"testing"
)

var (
	testFrom = netip.MustParseAddrPort("127.0.0.1:50000")
	testTo   = netip.MustParseAddrPort("127.0.0.1:6006")
	testV6   = netip.MustParseAddrPort("[::1]:50001")
	testToV6 = netip.MustParseAddrPort("[::1]:6006")
)

// record is one of macOS's, at a multiple of 8 bytes.
func record(kind uint32, size int, fill func(r []byte)) []byte {
	r := make([]byte, roundUp(uint32(size)))
	binary.NativeEndian.PutUint32(r, uint32(size))
	binary.NativeEndian.PutUint32(r[4:], kind)
	fill(r)
	return r
}

// pcb is a socket as macOS 14 lists it: xinpcb_n, xsocket_n, and xtcpcb_n, which is passed over.
func pcb(from, to netip.AddrPort, uid uint32, state uint16) []byte {
	put := func(r []byte, addr, port int, a netip.AddrPort) {
		binary.BigEndian.PutUint16(r[port:], a.Port())
		if a.Addr().Is4() {
			copy(r[addr+12:], a.Addr().AsSlice())
		} else {
			copy(r[addr:], a.Addr().AsSlice())
		}
	}
	b := record(kindPCB, 104, func(r []byte) {
		put(r, pcbLocal, pcbLocalPort, from)
		put(r, pcbForeign, pcbForeignPort, to)
		r[pcbFlags] = flagIPv6
		if from.Addr().Is4() {
			r[pcbFlags] = flagIPv4
		}
	})
	b = append(b, record(kindSocket, 76, func(r []byte) {
		binary.NativeEndian.PutUint16(r[socketState:], state)
		binary.NativeEndian.PutUint32(r[socketUID:], uid)
	})...)
	return append(b, record(0x020, 204, func([]byte) {})...)
}

func pcbList(sockets ...[]byte) []byte {
	list := make([]byte, 24)
	binary.NativeEndian.PutUint32(list, 24)
	for _, s := range sockets {
		list = append(list, s...)
	}
	return append(list, list[:24]...)
}

func TestFindInPCBList(t *testing.T) {
	list := pcbList(pcb(testTo, testFrom, 1, 0), pcb(testFrom, testTo, 501, 2), pcb(testV6, testToV6, 502, 2),
		pcb(testFrom, testToV6, 503, 2), pcb(netip.MustParseAddrPort("127.0.0.1:50002"), testTo, 504, stateNoFD))
	for _, tt := range []struct {
		from, to netip.AddrPort
		want     int
		err      error
	}{
		{testFrom, testTo, 501, nil},
		{testV6, testToV6, 502, nil},
		{netip.MustParseAddrPort("127.0.0.1:50002"), testTo, 0, ErrNoProcess},
		{netip.MustParseAddrPort("127.0.0.1:50003"), testTo, 0, ErrUnknown},
	} {
		if uid, err := findInPCBList(list, tt.from, tt.to); uid != tt.want || !errors.Is(err, tt.err) {
			t.Errorf("%v→%v: %d, %v", tt.from, tt.to, uid, err)
		}
	}
	for n := range list { // what is cut off is not read, and gives no other user
		if uid, err := findInPCBList(list[:n], testFrom, testTo); err == nil && uid != 501 {
			t.Errorf("%d bytes: user %d", n, uid)
		}
	}
}

func FuzzFindInPCBList(f *testing.F) {
	f.Add(pcbList(pcb(testFrom, testTo, 501, 2)))
	f.Fuzz(func(_ *testing.T, list []byte) { _, _ = findInPCBList(list, testFrom, testTo) })
}

// winRow is a row of Windows's table.
func winRow(form tableForm, from, to netip.AddrPort, pid uint32) []byte {
	row := make([]byte, form.size)
	copy(row[form.local:], from.Addr().AsSlice())
	binary.BigEndian.PutUint16(row[form.localPort:], from.Port())
	copy(row[form.remote:], to.Addr().AsSlice())
	binary.BigEndian.PutUint16(row[form.remotePort:], to.Port())
	binary.LittleEndian.PutUint32(row[form.pid:], pid)
	return row
}

func TestFindInTable(t *testing.T) {
	for _, tt := range []struct {
		form     tableForm
		from, to netip.AddrPort
	}{{tableIPv4, testFrom, testTo}, {tableIPv6, testV6, testToV6}} {
		table := binary.LittleEndian.AppendUint32(nil, 3)
		table = append(table, winRow(tt.form, tt.to, tt.from, 4)...)
		table = append(table, winRow(tt.form, tt.from, tt.to, 4711)...)
		other := netip.AddrPortFrom(tt.from.Addr(), 1)
		table = append(table, winRow(tt.form, other, tt.to, 0)...)
		if pid, err := findInTable(table, tt.form, tt.from, tt.to); pid != 4711 || err != nil {
			t.Errorf("%v: %d, %v", tt.from, pid, err)
		}
		if pid, err := findInTable(table, tt.form, other, tt.to); !errors.Is(err, ErrNoProcess) {
			t.Errorf("no process: %d, %v", pid, err)
		}
		for n := range table {
			if pid, err := findInTable(table[:n], tt.form, other, tt.from); err == nil {
				t.Errorf("%d bytes: process %d", n, pid)
			}
		}
	}
}
