package session

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/invopop/jsonschema"

	"github.com/alps-tunnel/cscs/internal/schematest"
)

// contract has for each event the fields that it must have, and those that it may have besides. Every event
// has v, time, event, session and cluster. This version writes no other field.
var contract = []struct{ event, must, may string }{
	{EventConnecting, "host", ""},
	{EventConnected, "host", ""},
	{EventQueued, "job reason", "start"},
	{EventGranted, "job node nodes partition", "account ends"}, // an account only where there is accounting
	{EventStarted, "node pid", ""},
	{EventReady, "url local_port remote", ""},
	{EventForward, "url local_port remote", ""},
	{EventLost, "host", "message"},
	{EventRestored, "host", ""},
	{EventWarning, "message", "ends"},
	{EventDetached, "", "lease"}, // none with --keep
	{EventEnding, "reason", ""},
	{EventError, "message code", "hint"},
	{EventEnded, "reason code", ""},
}

// eventSchema returns the schema of an event: types and comments of the struct, the contract, and what
// values may be. It permits fields and events that it does not know, since a later version may add some.
func eventSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	r := &jsonschema.Reflector{Anonymous: true, ExpandedStruct: true, AllowAdditionalProperties: true}
	if err := r.AddGoComments("github.com/alps-tunnel/cscs/session", "./"); err != nil {
		t.Fatal(err)
	}
	s := r.Reflect(Event{})
	s.Title = "An event of cscs --json"
	always := slices.Clone(s.Required)
	one := uint64(1)
	for p := s.Properties.Oldest(); p != nil; p = p.Next() {
		switch v := p.Value; {
		case p.Key == "v":
			v.Const = EventVersion
		case p.Key == "code":
			v.Enum = []any{0, 1, 2, 3, 4, 5, 6, 130}
		case p.Key == "session":
			v.Pattern = "^[a-z2-7]{0,8}$"
		case v.Format == "date-time":
			v.Pattern = "Z$"
		case v.Type == "string":
			v.MinLength = &one
		case v.Type == "array":
			v.MinItems = &one
		case p.Key == "lease":
			v.Minimum = "0"
		case v.Type == "integer":
			v.Minimum = "1"
		}
	}
	event, _ := s.Properties.Get("event")
	for _, c := range contract {
		event.Examples = append(event.Examples, c.event)
		is := jsonschema.NewProperties()
		is.Set("event", &jsonschema.Schema{Const: c.event})
		must := strings.Fields(c.must)
		fields := jsonschema.NewProperties()
		for _, n := range slices.Concat(always, must, strings.Fields(c.may)) {
			fields.Set(n, jsonschema.TrueSchema)
		}
		s.AllOf = append(s.AllOf, &jsonschema.Schema{
			If: &jsonschema.Schema{Properties: is}, Then: &jsonschema.Schema{Required: must, Properties: fields},
		})
	}
	return s
}

// TestEventSchema: the schema in the tree is that of the type. It permits what a later version may add. The sessions
// of this package and of internal/e2e are held to its strict form.
func TestEventSchema(t *testing.T) {
	schematest.CheckCurrent(t, "event.json", eventSchema(t))
	published, err := schematest.Load("event.json")
	if err != nil {
		t.Fatal(err)
	}
	strict, err := schematest.LoadEvents()
	if err != nil {
		t.Fatal(err)
	}
	const head, same = `{"v":1,"time":"2026-11-29T12:00:00.5Z","event":`, `"session":"abcdefgh","cluster":"daint"`
	for _, tt := range []struct {
		text         string
		open, closed bool
	}{
		{head + `"ended",` + same + `,"reason":"x","code":0}`, true, true},
		{head + `"detached",` + same + `,"lease":0}`, true, true},
		{head + `"detached",` + same + `}`, true, true},
		{head + `"connecting","session":"","cluster":"daint","host":"ela"}`, true, true},
		{head + `"connecting","session":"ab","cluster":"daint","host":"ela"}`, true, true},
		{head + `"ended",` + same + `,"reason":"x","code":0,"host":"ela"}`, true, false},
		{head + `"ended",` + same + `,"reason":"x","code":0,"new":1}`, true, false},
		{head + `"usage",` + same + `,"node_hours":1.5}`, true, false},
		{strings.Replace(head, "2026-11-29", "0001-01-01", 1) + `"detached",` + same + `}`, true, false},
		{head + `"ended",` + same + `,"reason":"x","code":7}`, false, false},
		{head + `"ended",` + same + `,"reason":"x"}`, false, false},
		{head + `"ended",` + same + `,"reason":"","code":0}`, false, false},
		{head + `"ended","session":"../../..","cluster":"daint","reason":"x","code":0}`, false, false},
		{strings.Replace(head, "Z", "+01:00", 1) + `"detached",` + same + `}`, false, false},
	} {
		if err := schematest.Validate(published, []byte(tt.text)); (err == nil) != tt.open {
			t.Errorf("published: %s: %v", tt.text, err)
		}
		if err := schematest.Validate(strict, []byte(tt.text)); (err == nil) != tt.closed {
			t.Errorf("strict: %s: %v", tt.text, err)
		}
	}
}

// checkEvents reports the events that are against the strict schema.
func checkEvents(t *testing.T, events []Event) {
	t.Helper()
	schema, err := schematest.LoadEvents()
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		text, err := json.Marshal(e)
		if err == nil {
			err = schematest.Validate(schema, text)
		}
		if err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
}
