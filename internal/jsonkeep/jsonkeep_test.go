package jsonkeep

import (
	"encoding/json"
	"testing"
)

type shape struct {
	ID    string `json:"id"`
	Count int    `json:"count,omitempty"`
	Plain bool
	inner int
}

// TestObject: what the type does not know is written back as it was read, and what it knows as it is now.
func TestObject(t *testing.T) {
	for _, tt := range []struct{ name, before, want string }{
		{"nothing unknown", `{"id":"a","count":1,"Plain":true}`, `{"id":"new","Plain":true}`},
		{"unknown fields", `{"colour":{"b":[1, 2.50]},"id":"a","inner":3,"count":1}`, `{"id":"new","Plain":false,"colour":{"b":[1,2.50]},"inner":3}`},
		{"large number", `{"serial":12345678901234567890}`, `{"id":"new","Plain":false,"serial":12345678901234567890}`},
		{"other case", `{"ID":"a","COUNT":2,"plain":true}`, `{"id":"new","Plain":true}`},
	} {
		var o Object[shape]
		if err := json.Unmarshal([]byte(tt.before), &o); err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		o.Known.ID, o.Known.Count, o.Known.inner = "new", 0, 7
		got, err := json.Marshal(o)
		if err != nil || string(got) != tt.want {
			t.Errorf("%s: %s, %v; want %s", tt.name, got, err, tt.want)
		}
	}
}

// TestNoObject: what is no object, or has a field of another type, is an error. The unknown fields of the latter are
// kept, and those of an object that was read before are not.
func TestNoObject(t *testing.T) {
	var o Object[shape]
	if err := json.Unmarshal([]byte(`{"id":7,"colour":"red"}`), &o); err == nil {
		t.Error("a number was read as an ID")
	}
	if got, err := json.Marshal(o); err != nil || string(got) != `{"id":"","Plain":false,"colour":"red"}` {
		t.Errorf("%s, %v", got, err)
	}
	if err := json.Unmarshal([]byte(`[1]`), &o); err == nil {
		t.Error("a list was read as an object")
	}
	if got, err := json.Marshal(o); err != nil || string(got) != `{"id":"","Plain":false}` {
		t.Errorf("%s, %v", got, err)
	}
	empty, err := json.Marshal(Object[struct{}]{others: map[string]json.RawMessage{"a": json.RawMessage("1")}})
	if err != nil || string(empty) != `{"a":1}` {
		t.Errorf("%s, %v", empty, err)
	}
}
