package sessionid

import (
	"regexp"
	"strings"
	"testing"

	"github.com/alps-tunnel/cscs/internal/hostiletest"
)

func TestCheck(t *testing.T) {
	for _, s := range hostiletest.IDs {
		if IsID(s) || Check(s) == nil {
			t.Errorf("%q is taken for an ID", s)
		}
		if err := Check(s); err != nil && (strings.ContainsAny(err.Error(), "\n\t\x00\x1b") || len(err.Error()) > 400) {
			t.Errorf("%q: the message is %q", s, err)
		}
	}
	for range 100 {
		if s := New(); Check(s) != nil {
			t.Errorf("%q is not taken for an ID", s)
		}
	}
}

func TestParsePrefix(t *testing.T) {
	for s, want := range map[string]string{"k7": "k7", "K7": "k7", "a": "a", "abcdefgh": "abcdefgh", "ABCDEFGH": "abcdefgh"} {
		if got, err := ParsePrefix(s); got != want || err != nil {
			t.Errorf("%q: %q, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "abcdefghi", "k8", "-k7", "k7\n", "../x", "k*", "\u212a7", "k7\x00"} {
		if got, err := ParsePrefix(s); err == nil || got != "" {
			t.Errorf("%q: %q, %v", s, got, err)
		}
	}
}

func FuzzCheck(f *testing.F) {
	for _, s := range hostiletest.IDs {
		f.Add(s)
	}
	f.Add(New())
	id := regexp.MustCompile(`\A[a-z2-7]{8}\z`)
	begin := regexp.MustCompile(`\A[a-z2-7]{1,8}\z`)
	f.Fuzz(func(t *testing.T, s string) {
		if IsID(s) != id.MatchString(s) {
			t.Errorf("%q: %v", s, IsID(s))
		}
		if got, err := ParsePrefix(s); err == nil && (!begin.MatchString(got) || !strings.EqualFold(got, s)) {
			t.Errorf("%q: %q", s, got)
		}
	})
}
