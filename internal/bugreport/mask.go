package bugreport

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"syscall"

	"github.com/alps-tunnel/cscs/forward/chain"
	"github.com/alps-tunnel/cscs/internal/site"
)

// A mask replaces names. The same name has the same label everywhere in a report.
type mask struct {
	labels map[string]string
	count  map[string]int
}

// newMask returns a mask that keeps the names of the built-in configuration and of the demo.
func newMask() *mask {
	m := &mask{labels: map[string]string{"demo": "demo"}, count: map[string]int{}}
	for _, name := range site.BuiltInNames() {
		m.labels[name] = name
	}
	return m
}

// label returns the name itself if it is a built-in one, otherwise its kind and a number.
func (m *mask) label(kind, name string) string {
	if _, ok := m.labels[name]; !ok {
		m.count[kind]++
		m.labels[name] = fmt.Sprintf("%s-%d", kind, m.count[kind])
	}
	return m.labels[name]
}

// host returns the label of a host, or "-" for a result that is about no host.
func (m *mask) host(name string) string {
	if name == "" {
		return "-"
	}
	return m.label("host", name)
}

// listCauses returns the kinds of err and of the errors that it wraps, outermost first: names of Go types, phases of a
// connection, and texts of error numbers. No other text of an error is listed: it may contain names.
func listCauses(err error) []string {
	var causes []string
	add := func(cause string) {
		if !slices.Contains(causes, cause) {
			causes = append(causes, cause)
		}
	}
	var walk func(error)
	walk = func(err error) {
		switch e := err.(type) { //nolint:errorlint // each error of the tree is looked at by itself
		case nil:
			return
		case syscall.Errno:
			add(e.Error())
		case *chain.DialError:
			add("chain.DialError (" + e.Phase + ")")
		case *net.DNSError:
			add("net.DNSError")
			if e.IsNotFound {
				add("name not found")
			}
		default:
			if name := strings.TrimPrefix(fmt.Sprintf("%T", err), "*"); !strings.HasPrefix(name, "errors.") && !strings.HasPrefix(name, "fmt.") {
				add(name)
			}
		}
		switch e := err.(type) { //nolint:errorlint // the same
		case interface{ Unwrap() error }:
			walk(e.Unwrap())
		case interface{ Unwrap() []error }:
			for _, err := range e.Unwrap() {
				walk(err)
			}
		}
	}
	walk(err)
	return causes
}
