package browser

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Where the kernel does not vouch for anyone, the link is in a file that nobody else reads. That
// needs no other system to be tried.
func TestOpenByFile(t *testing.T) {
	called := fakeXDGOpen(t, `f=${1#file://}; IFS= read -r x <"$f" || exit 4; /bin/ls -ld "$f" "${f%/*}" >modes
while IFS= read -r line; do case $line in *href=*) at=${line#*href=\"}; at=${at%%\"*} ;; esac; done <"$f"
fetch "$at" >answer.new && /bin/mv answer.new answer`)
	t.Setenv("TMPDIR", t.TempDir())
	o := newOpener()
	o.peer = nil
	if err := o.open(t.Context(), way); err != nil {
		t.Fatal(err)
	}
	if argv := called(); strings.Contains(argv, secret) || !strings.HasPrefix(argv, "file:///") {
		t.Errorf("xdg-open was called with %q", argv)
	}
	var a answer
	if err := json.Unmarshal(awaitFile(t, "answer"), &a); err != nil {
		t.Fatal(err)
	}
	if a.Location != target || a.Status != http.StatusSeeOther || a.Header.Get("Set-Cookie") != cookie {
		t.Errorf("the browser got %+v", a)
	}
	modes, err := os.ReadFile("modes")
	if err != nil {
		t.Fatal(err)
	}
	if s := string(modes); !strings.HasPrefix(s, "drwx------ ") || !strings.Contains(s, "\n-rw------- ") {
		t.Errorf("modes: %s", s)
	}
	left, err := filepath.Glob(filepath.Join(os.TempDir(), "*"))
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %q %v", left, err)
	}
}

// A browser that comes from a file gets a page to come from, or it would keep its strict
// cookies back.
func TestOfferToOneFromElsewhere(t *testing.T) {
	o := serveOffer(t, nil)
	a := mustFetch(t, http.MethodGet, o.url(), func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") })
	if a.Status != http.StatusOK || a.Location != "" || a.Header.Get("Set-Cookie") != cookie {
		t.Errorf("got %+v", a)
	}
	if strings.Count(a.Body, target) != 2 || strings.Contains(a.Body, secret) {
		t.Errorf("the page is %s", a.Body)
	}
}
