package app

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// lists is a Jupyter server that answers only what it is asked for its use, as Jupyter
// Server 2.21 does, by a clock of its own.
type lists struct {
	kernels, terminals, metrics string
	status                      int // of terminals; 0: 200
	gone                        bool
	clock                       time.Duration
	tracked                     bool // a question that counts as activity was asked
}

func (l *lists) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Date", time.Now().Add(l.clock).UTC().Format(http.TimeFormat))
	path := r.URL.Path[strings.IndexByte(r.URL.Path[1:], '/')+2:]
	l.tracked = l.tracked || strings.HasPrefix(path, "api/") && r.FormValue("no_track_activity") == ""
	switch {
	case r.Header.Get("Authorization") == "":
		w.WriteHeader(http.StatusForbidden)
	case l.gone:
		w.WriteHeader(http.StatusNotFound)
	case path == "api/kernels":
		fmt.Fprint(w, l.kernels)
	case path == "api/terminals" && l.status != 0:
		w.WriteHeader(l.status)
	case path == "api/terminals":
		fmt.Fprint(w, l.terminals)
	case path == "metrics" && l.metrics != "":
		fmt.Fprint(w, l.metrics)
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

func counted(handler, method string, n int) string {
	return fmt.Sprintf("http_request_duration_seconds_count{handler=%q,method=%q,status_code=\"200\"} %d.0\n", handler, method, n)
}

func TestJupyterLastUse(t *testing.T) {
	const contents = "jupyter_server.services.contents.handlers.ContentsHandler"
	const never = -1
	kernel := func(state string, ago time.Duration) string {
		return fmt.Sprintf(`{"id":"k","execution_state":%q,"last_activity":%q,"connections":1}`, state, time.Now().Add(-ago).UTC().Format("2006-01-02T15:04:05.999999Z"))
	}
	for _, tt := range []struct {
		name  string
		lists lists
		ago   time.Duration // how long it has not been used; never
		fails bool
	}{
		{"nothing", lists{kernels: "[]", terminals: "[]"}, never, false},
		{"idle kernel", lists{kernels: "[" + kernel("idle", time.Hour) + "]", terminals: "[]"}, time.Hour, false},
		{"latest of all", lists{kernels: "[" + kernel("idle", 2*time.Hour) + "," + kernel("idle", time.Hour) + "]", terminals: "[" + kernel("", 30*time.Minute) + "]"}, 30 * time.Minute, false},
		{"busy kernel", lists{kernels: "[" + kernel("idle", 2*time.Hour) + "," + kernel("busy", time.Hour) + "]", terminals: "[]"}, 0, false},
		{"no terminals", lists{kernels: "[" + kernel("idle", time.Hour) + "]", status: http.StatusNotFound}, time.Hour, false},
		{"clock ahead", lists{kernels: "[" + kernel("idle", time.Hour) + "]", terminals: "[]", clock: 24 * time.Hour}, 25 * time.Hour, false},
		{"clock behind", lists{kernels: "[" + kernel("idle", 0) + "]", terminals: "[]", clock: -24 * time.Hour}, 0, false},
		{"file saved", lists{kernels: "[" + kernel("idle", time.Hour) + "]", terminals: "[]", metrics: "# HELP x\n" + counted(contents, "PUT", 1)}, 0, false},
		{"files read", lists{kernels: "[" + kernel("idle", time.Hour) + "]", terminals: "[]", metrics: counted(contents, "GET", 9) + counted("jupyterlab_server.workspaces_handler.WorkspacesHandler", "PUT", 9)}, time.Hour, false},
		{"server error", lists{kernels: "[]", status: http.StatusInternalServerError}, 0, true},
		{"another server", lists{kernels: "[]", terminals: "[]", gone: true}, 0, true},
		{"no JSON", lists{kernels: "<html>", terminals: "[]"}, 0, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, err := Jupyter(nil, "")
			if err != nil {
				t.Fatal(err)
			}
			s := httptest.NewServer(&tt.lists)
			defer s.Close()
			got, err := a.LastUse(t.Context(), s.Client(), s.URL)
			var probe *ProbeError
			if tt.fails != (err != nil) || tt.fails && !errors.As(err, &probe) {
				t.Fatalf("got %v, %v", got, err)
			}
			switch {
			case tt.fails:
			case tt.ago == never && !got.IsZero():
				t.Errorf("used at %v", got)
			case tt.ago != never && (time.Since(got)-tt.ago).Abs() > 5*time.Second:
				t.Errorf("used %v ago, want %v", time.Since(got), tt.ago)
			}
			if tt.lists.tracked {
				t.Error("the question itself counts as activity")
			}
		})
	}
}

// What was written before the last question is not written again.
func TestJupyterWritesCountOnce(t *testing.T) {
	a, err := Jupyter(nil, "")
	if err != nil {
		t.Fatal(err)
	}
	l := &lists{kernels: "[]", terminals: "[]"}
	s := httptest.NewServer(l)
	defer s.Close()
	for i, want := range []bool{false, true, false, true, false} {
		if want {
			l.metrics = counted("jupyter_server.services.contents.handlers.ContentsHandler", "PUT", i)
		}
		got, err := a.LastUse(t.Context(), s.Client(), s.URL)
		if err != nil || got.IsZero() == want {
			t.Errorf("question %d: used at %v, %v", i, got, err)
		}
	}
}

// A server that has gone is no server that is idle.
func TestJupyterLastUseOfNobody(t *testing.T) {
	a, err := Jupyter(nil, "")
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(http.NotFoundHandler())
	s.Close()
	if _, err := a.LastUse(t.Context(), s.Client(), s.URL); err == nil || strings.Contains(err.Error(), a.Query.Get("token")) {
		t.Errorf("got %v", err)
	}
}
