package app

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const useBody = 4 << 20 // limit of an answer

// A jupyterUse finds out when a Jupyter server was last used.
//
// Jupyter's own value (last_activity of /api/status) cannot show this. An idle tab requests the
// lists of kernels, sessions, terminals and files every few seconds, and each request counts.
// Output of kernels and terminals, and writes of files, happen only through use. Jupyter has the
// time of the first two. It counts writes by request handler in /metrics.
//
// docs/apps.md has what was verified.
type jupyterUse struct {
	base, token string
	written     float64 // requests that wrote files, at the last query
}

// untracked keeps a query from counting as activity in Jupyter, which may have an idle limit of its
// own (shutdown_no_activity_timeout).
const untracked = "?no_track_activity=1"

// active has the common fields of the lists of kernels and terminals.
type active struct {
	State string    `json:"execution_state"` // of kernels
	Last  time.Time `json:"last_activity"`
}

// lastUse implements App.LastUse.
func (j *jupyterUse) lastUse(ctx context.Context, c *http.Client, at string) (time.Time, error) {
	p := newProber("jupyter", c)
	base := strings.TrimRight(at, "/") + j.base
	var last time.Time
	for _, list := range []string{"api/kernels", "api/terminals"} {
		a, err := p.fetchOnce(ctx, base+list+untracked, j.token, useBody)
		if err != nil || a.status != http.StatusOK {
			if err == nil && a.status == http.StatusNotFound && list == "api/terminals" {
				continue // terminals can be disabled
			}
			return time.Time{}, &ProbeError{App: p.name, URL: base + list, Status: a.status, Err: err}
		}
		used, err := lastOf(a)
		if err != nil {
			return time.Time{}, &ProbeError{App: p.name, URL: base + list, Status: a.status, Err: err}
		}
		if used.After(last) {
			last = used
		}
	}
	a, err := p.fetchOnce(ctx, base+"metrics", j.token, useBody)
	if err != nil {
		return time.Time{}, &ProbeError{App: p.name, URL: base + "metrics", Err: err}
	}
	// Without metrics, no writes are counted.
	if n := countWrites(a.body); a.status == http.StatusOK && n != j.written {
		j.written, last = n, time.Now()
	}
	return last, nil
}

// lastOf returns the latest activity in a list, by this machine's clock. The server's clock may
// differ; the answer contains its time.
func lastOf(a answer) (time.Time, error) {
	var list []active
	if err := json.Unmarshal(a.body, &list); err != nil {
		return time.Time{}, err
	}
	now := time.Now()
	there, err := http.ParseTime(a.header.Get("Date"))
	if err != nil {
		there = now
	}
	var last time.Time
	for _, x := range list {
		if x.State == "busy" {
			return now, nil
		}
		if used := now.Add(-max(there.Sub(x.Last), 0)); used.After(last) {
			last = used
		}
	}
	return last, nil
}

// countWrites returns the number of requests that wrote, renamed or removed a file. It reads
// Prometheus' text format:
//
//	http_request_duration_seconds_count{handler="jupyter_server.services.contents.handlers.ContentsHandler",method="PUT",status_code="200"} 1.0
func countWrites(metrics []byte) float64 {
	var sum float64
	lines := bufio.NewScanner(bytes.NewReader(metrics))
	for lines.Scan() {
		l := lines.Text()
		if !strings.HasPrefix(l, "http_request_duration_seconds_count{") || !strings.Contains(l, ".contents.handlers.") {
			continue
		}
		for _, method := range []string{"PUT", "POST", "PATCH", "DELETE"} {
			if strings.Contains(l, `method="`+method+`"`) {
				n, _ := strconv.ParseFloat(l[strings.LastIndexByte(l, ' ')+1:], 64)
				sum += n
			}
		}
	}
	return sum
}
