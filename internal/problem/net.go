package problem

import (
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"strings"
)

const online = "are you online? some networks need a VPN to reach it"

// explainNetwork explains why a host could not be reached. id is empty if the cause is not the
// network.
func explainNetwork(err error) (words, id, hint string) {
	var dns *net.DNSError
	var timeout interface{ Timeout() bool }
	switch {
	case errors.As(err, &dns) && dns.IsNotFound:
		return "no host has this name", "no-such-host", online + "; is the name right?"
	case errors.As(err, &dns):
		return "its name cannot be resolved now (" + dns.Err + ")", "no-dns", online
	case isAny(err, refused):
		return "connection refused", "connection-refused", "no ssh server answers there: it may be in maintenance, see the site's status page"
	case isAny(err, unreachable):
		return "there is no route to it", "no-route", online
	case errors.As(err, &timeout) && timeout.Timeout():
		return "no answer", "timeout", online
	case isAny(err, reset), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "it closed the connection", "connection-closed", "it may limit the number of connections: try again in a minute"
	}
	return "", "", ""
}

func isAny(err error, targets []error) bool {
	return slices.ContainsFunc(targets, func(t error) bool { return errors.Is(err, t) })
}

// systemProblem is for errors of the network or the file system that no typed error wraps.
func systemProblem(err error) (Problem, bool) {
	var op *net.OpError
	if errors.As(err, &op) {
		if words, id, hint := explainNetwork(err); id != "" {
			where := ""
			if op.Addr != nil {
				where = op.Addr.String() + ": "
			}
			return Problem{ID: id, Code: Failure, Message: where + words, Hint: hint}, true
		}
	}
	if errors.As(err, new(*os.PathError)) {
		return Problem{ID: "file", Code: Failure, Message: strings.TrimSpace(err.Error())}, true
	}
	return Problem{}, false
}
