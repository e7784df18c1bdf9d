package peer

import (
	"encoding/binary"
	"net/netip"
)

// Layouts of macOS's list net.inet.tcp.pcblist_n (bsd/netinet/in_pcb.h, bsd/sys/socketvar.h of XNU; all
// structs are packed to 4 bytes). The list begins and ends with a struct xinpgen. Between them each
// socket has several consecutive records. Each record has its length and kind, and begins at a multiple
// of 8 bytes. Unknown kinds and fields are ignored.
const (
	kindSocket = 0x001 // XSO_SOCKET, struct xsocket_n
	kindPCB    = 0x010 // XSO_INPCB, struct xinpcb_n

	pcbForeignPort = 16
	pcbLocalPort   = 18
	pcbFlags       = 44 // inp_vflag
	pcbForeign     = 48
	pcbLocal       = 64
	pcbSize        = 80

	flagIPv4 = 0x1 // INP_IPV4
	flagIPv6 = 0x2 // INP_IPV6

	socketState = 26 // so_state
	socketUID   = 64 // so_uid
	socketSize  = 68

	stateNoFD = 0x0001 // SS_NOFDREF: no process has the socket any more
)

// findInPCBList returns the user of the socket from→to. The error is ErrNoProcess if no process has it
// any more, or ErrUnknown if it is not in the list.
func findInPCBList(list []byte, from, to netip.AddrPort) (int, error) {
	ne := binary.NativeEndian
	if len(list) < 4 {
		return 0, ErrUnknown
	}
	found := false
	for at := roundUp(ne.Uint32(list)); at+8 <= uint64(len(list)); {
		size, kind := ne.Uint32(list[at:]), ne.Uint32(list[at+4:])
		if size < 8 || at+uint64(size) > uint64(len(list)) {
			break
		}
		switch r := list[at : at+uint64(size)]; {
		case kind == kindPCB && len(r) >= pcbSize:
			local, foreign := pcbAddress(r, pcbLocal, pcbLocalPort), pcbAddress(r, pcbForeign, pcbForeignPort)
			found = local == from && foreign == to
		case kind == kindSocket && len(r) >= socketSize && found:
			if ne.Uint16(r[socketState:])&stateNoFD != 0 {
				return 0, ErrNoProcess
			}
			return int(ne.Uint32(r[socketUID:])), nil
		}
		at += roundUp(size)
	}
	return 0, ErrUnknown
}

func roundUp(n uint32) uint64 { return (uint64(n) + 7) &^ 7 }

// pcbAddress reads an address. An IPv4 address is in the last four bytes of the field.
func pcbAddress(r []byte, addr, port int) netip.AddrPort {
	var a netip.Addr
	switch {
	case r[pcbFlags]&flagIPv4 != 0:
		a = netip.AddrFrom4([4]byte(r[addr+12 : addr+16]))
	case r[pcbFlags]&flagIPv6 != 0:
		a = netip.AddrFrom16([16]byte(r[addr : addr+16])).Unmap()
	}
	return netip.AddrPortFrom(a, binary.BigEndian.Uint16(r[port:]))
}
