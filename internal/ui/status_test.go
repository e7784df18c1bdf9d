package ui

import (
	"testing"
	"time"

	"github.com/alps-tunnel/cscs/session"
)

// A warning of a connection goes when that is back; others stay, and so does that of the time left.
func TestWarningIsMended(t *testing.T) {
	ends := time.Now()
	for _, c := range []struct {
		name, want string
		events     []session.Event
	}{
		{"the key has expired", "", []session.Event{
			{Event: session.EventLost, Host: "ela"}, {Event: session.EventWarning, Message: "cannot connect again"}, {Event: session.EventRestored, Host: "ela"}}},
		{"another connection is still lost", "cannot connect again", []session.Event{
			{Event: session.EventLost, Host: "ela"}, {Event: session.EventLost, Host: "nid1"}, {Event: session.EventWarning, Message: "cannot connect again"}, {Event: session.EventRestored, Host: "nid1"}}},
		{"of before", "the port is in use", []session.Event{
			{Event: session.EventWarning, Message: "the port is in use"}, {Event: session.EventLost, Host: "ela"}, {Event: session.EventRestored, Host: "ela"}}},
		{"of the time", "save your work", []session.Event{
			{Event: session.EventLost, Host: "ela"}, {Event: session.EventWarning, Message: "save your work", Ends: &ends}, {Event: session.EventRestored, Host: "ela"}}},
	} {
		var s status
		for _, e := range c.events {
			s.take(e)
		}
		if s.warning != c.want {
			t.Errorf("%s: %q", c.name, s.warning)
		}
	}
}
