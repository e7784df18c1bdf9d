package peer

import (
	"errors"
	"fmt"
	"testing"
)

func TestJudge(t *testing.T) {
	const self = 1000
	for _, tt := range []struct {
		name string
		uid  int
		err  error
		want Standing
	}{
		{"the same user", self, nil, Own},
		{"another user", self + 54321, nil, Stranger},
		{"not told", self, fmt.Errorf("no table: %w", ErrUnknown), Unknown},
		{"a socket that is closed", 0, ErrNoProcess, Stranger},
		{"another user of Windows", 0, ErrStranger, Stranger},
		{"an error", self, errors.New("else"), Unknown},
		{"root", Root, nil, Relay}, // it may carry another user's bytes, or this user's
	} {
		if got := Judge(self, tt.uid, tt.err); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
	if got := Judge(Root, Root, nil); got != Own {
		t.Errorf("root itself: %v", got)
	}
}
