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

const useBody = 4 << 20 // of an answer

// A jupyterUse knows when a Jupyter server was last used.
//
// Jupyter's own idea (last_activity of /api/status) is of no use here: a tab that nobody
// touches asks for the lists of kernels, sessions, terminals and files every few seconds,
// and each of these questions counts. What does not come by itself is what kernels and
// terminals say, and files that are written. Jupyter tells the time of the first two; of
// the third it only counts, by the handler of its requests, in /metrics.
//
// See docs/apps.md for what was verified.
type jupyterUse struct {
	base, token string
	written     float64 // requests that wrote files, at the last question
}

// untracked keeps a question from counting as activity with Jupyter itself, which may have
// a limit of its own set (shutdown_no_activity_timeout).
const untracked = "?no_track_activity=1"

// active is what the lists of kernels and terminals have in common.
type active struct {
	State string    `json:"execution_state"` // of kernels
	Last  time.Time `json:"last_activity"`
}

// lastUse is App.LastUse.
func (j *jupyterUse) lastUse(ctx context.Context, c *http.Client, at string) (time.Time, error) {
	p := newProber("jupyter", c)
	base := strings.TrimRight(at, "/") + j.base
	var last time.Time
	for _, list := range []string{"api/kernels", "api/terminals"} {
		a, err := p.fetchOnce(ctx, base+list+untracked, j.token, useBody)
		if err != nil || a.status != http.StatusOK {
			if err == nil && a.status == http.StatusNotFound && list == "api/terminals" {
				continue // they can be switched off
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
	// Where there are no metrics there is nothing to be counted.
	if n := countWrites(a.body); a.status == http.StatusOK && n != j.written {
		j.written, last = n, time.Now()
	}
	return last, nil
}

// lastOf is the latest activity in a list, by this machine's clock: the server's may be
// another, and its answer has that in it.
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

// countWrites is how many requests have written, renamed or removed a file, by Prometheus' text
// format:
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
