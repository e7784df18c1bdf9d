package ui

import (
	"slices"
	"testing"
)

// Lines are broken between words, for a person alone; what does not fit a line is left whole.
func TestHang(t *testing.T) {
	const link = "http://127.0.0.1:8888/lab?token=0123456789"
	for _, c := range []struct {
		w          int
		line, tail string
		want       []string
	}{
		{80, "✓ two  words", "2 min 00 s", []string{"✓ two  words 2 min 00 s"}},
		{20, "✓ daint connected", "2.5 s", []string{"✓ daint connected", "  2.5 s"}},
		{20, "✓ one two three four five six", "7 min 00 s", []string{"✓ one two three", "  four five six", "  7 min 00 s"}},
		{20, "! open " + link + " yourself", "", []string{"! open " + link, "  yourself"}},
		{20, "1234567 123456789012", "", []string{"1234567", "  123456789012"}},
		{21, "1234567 123456789012", "", []string{"1234567 123456789012"}},
		{30, "· detached; attach to it with: cscs attach k7; end it with: cscs stop k7", "", []string{"· detached; attach to it", "  with: cscs attach k7; end", "  it with: cscs stop k7"}},
		{20, "it is good still; all the same: cscs key sign --force --service x", "", []string{"it is good still;", "  all the same: cscs key sign --force --service x"}},
		{20, "another cscs: one two three", "", []string{"another cscs: one", "  two three"}},
		{1, "a b", "", []string{"a b"}},
		{20, "", "", []string{""}},
	} {
		io := &IO{Rewrite: true, Width: func() int { return c.w }}
		if got := io.wrapHanging(c.line, c.tail); !slices.Equal(got, c.want) {
			t.Errorf("%q in %d columns: %q, want %q", c.line, c.w, got, c.want)
		}
	}
	if got := (&IO{}).wrapHanging("one two", "3"); !slices.Equal(got, []string{"one two 3"}) {
		t.Errorf("on no terminal: %q", got)
	}
}
