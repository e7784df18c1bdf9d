package browser

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
)

const (
	patience = 30 * time.Second
	secret   = "0123456789abcdef0123456789abcdef"
	target   = "http://127.0.0.1:8888/x/lab"
	cookie   = "login=" + secret + "; Path=/x/; HttpOnly"
)

// way is where the browser is sent.
func way() Way { return Way{URL: target, Cookies: []string{cookie}} }

// fetchEnv makes this program a browser that fetches the address in it and
// prints an answer.
const fetchEnv = "CSCS_TEST_FETCH"

type answer struct {
	Status   int
	Location string
	Header   http.Header
	Close    bool // the server ends the connection
	Body     string
}

// TestMain is the helper too, and the browser that it starts.
func TestMain(m *testing.M) {
	if Helper() {
		return
	}
	if at := os.Getenv(fetchEnv); at != "" {
		a, err := fetch(http.MethodGet, at, nil)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		if err := json.NewEncoder(os.Stdout).Encode(a); err != nil {
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

// fetch asks as a browser does, but follows nothing.
func fetch(method, at string, change func(*http.Request)) (answer, error) {
	req, err := http.NewRequest(method, at, nil)
	if err != nil {
		return answer{}, err
	}
	if change != nil {
		change(req)
	}
	c := http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Timeout:       patience,
	}
	resp, err := c.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header.Get("Location"), resp.Header, resp.Close, string(body)}, err
}
