package slurm

import (
	"bufio"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A call that was put together is taken apart into the same.
func TestReadCall(t *testing.T) {
	t.Parallel()
	l := Launch{
		Argv: []string{"a b", "", "it's", `"$x"`, "line\nend", "]=(", "plain"}, Env: map[string]string{"K": "v ' w", "L": ""},
		Files: map[string][]byte{"token": []byte("s'ecret\n)\n"), "session.json": []byte(`{"a":[1]}` + "\n")},
	}
	v := new(vars)
	v.setValue("cscs_id", "abc'\"d")
	l.writeVars(v)
	text, mark := call{verb: "submit", vars: v}.buildPayload()
	r := bufio.NewReader(strings.NewReader(text + "12\nstop\n"))
	a, err := ReadCall(r)
	if err != nil {
		t.Fatal(err)
	}
	if a.Verb != "submit" || a.Get("id") != "abc'\"d" || strings.TrimSpace(a.Greeting()) != strings.TrimSpace(mark) {
		t.Errorf("verb %q, id %q, greeting %q", a.Verb, a.Get("id"), a.Greeting())
	}
	if diff := cmp.Diff(l.Argv, a.List("argv")); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"K=v ' w", "L="}, a.List("env")); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]string{"token": "s'ecret\n)\n", "session.json": `{"a":[1]}` + "\n"}, a.Files()); diff != "" {
		t.Error(diff)
	}
	if rest, _ := io.ReadAll(r); string(rest) != "12\nstop\n" {
		t.Errorf("left: %q", rest)
	}
}

func TestReadCallOfAnotherVersion(t *testing.T) {
	t.Parallel()
	v := new(vars)
	v.setValue("cscs_id", "abc")
	text := framePacked(compressText(v.String() + strings.Replace(script(), "cscs_main()", "cscs_first()", 1) + verbBefore + "submit" + verbAfter))
	if _, err := ReadCall(bufio.NewReader(strings.NewReader(text))); !errors.Is(err, ErrOtherScript) {
		t.Errorf("got %v", err)
	}
}

// FuzzReadCall: words come through any quoting, and nothing that is no call is one.
func FuzzReadCall(f *testing.F) {
	f.Add("it's", "[a]=b)", "x")
	f.Fuzz(func(t *testing.T, word, key, raw string) {
		if _, err := parseCall(raw); err == nil {
			t.Errorf("a call: %q", raw)
		}
		if strings.ContainsRune(word+key, 0) {
			return // no shell could be given that
		}
		v := new(vars)
		v.setValue("cscs_id", word)
		v.setList("cscs_argv", []string{word, key, word})
		v.setTable("cscs_files", map[string][]byte{key: []byte(word)})
		text := v.String() + script() + verbBefore + "stop" + verbAfter
		a, err := parseCall(text)
		if err != nil {
			t.Fatal(err)
		}
		if a.Verb != "stop" || a.Get("id") != word || !cmp.Equal(a.List("argv"), []string{word, key, word}) || a.Files()[key] != word {
			t.Errorf("%q, %q became %+v", word, key, a)
		}
	})
}
