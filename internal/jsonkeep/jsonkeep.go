// Package jsonkeep keeps the fields of a JSON object that this version of cscs does not know. A file that two
// versions write then keeps what the newer one has added.
package jsonkeep

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
)

// An Object is a JSON object. Known has the fields of the struct T. The other fields are written back as they were
// read, after those of T.
type Object[T any] struct {
	Known  T
	others map[string]json.RawMessage
}

// UnmarshalJSON reads an object. If it returns an error since a known field has another type, the unknown fields are
// kept nevertheless.
func (o *Object[T]) UnmarshalJSON(data []byte) error {
	o.others = nil
	err := json.Unmarshal(data, &o.others)
	if err != nil {
		return err
	}
	for name := range o.others {
		if hasField[T](name) {
			delete(o.others, name)
		}
	}
	return json.Unmarshal(data, &o.Known)
}

// MarshalJSON returns the object as JSON.
func (o Object[T]) MarshalJSON() ([]byte, error) {
	known, err := json.Marshal(o.Known)
	if err != nil || len(o.others) == 0 {
		return known, err
	}
	others, err := json.Marshal(o.others)
	if err != nil {
		return nil, err
	}
	known, others = bytes.TrimSuffix(known, []byte("}")), bytes.TrimPrefix(others, []byte("{"))
	if len(known) > len("{") {
		known = append(known, ',')
	}
	return append(known, others...), nil
}

// hasField reports whether json.Unmarshal puts the field name into T. It ignores case, as json.Unmarshal does.
func hasField[T any](name string) bool {
	for _, f := range reflect.VisibleFields(reflect.TypeFor[T]()) {
		tag, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if tag == "" {
			tag = f.Name
		}
		if f.IsExported() && strings.EqualFold(tag, name) {
			return true
		}
	}
	return false
}
