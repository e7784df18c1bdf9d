//go:build unix

package service

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/alps-tunnel/cscs/internal/stoptest"
)

// TestStoppedWhileSigned: an answer that arrives while the process is stopped is taken when the
// process continues. Before, it was discarded, and with it one of the signings of the day.
func TestStoppedWhileSigned(t *testing.T) {
	stoptest.InChild(t, func(t *testing.T, stop func(time.Duration)) {
		for name, half := range map[string]bool{"before the answer": false, "within the answer": true} {
			asked, goOn := make(chan struct{}), make(chan struct{})
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				if half {
					w.WriteHeader(http.StatusCreated)
					_ = http.NewResponseController(w).Flush()
				}
				close(asked)
				<-goOn
				if !half {
					w.WriteHeader(http.StatusCreated)
				}
				fmt.Fprint(w, `{"sshKey":{"publicKey":"a certificate"}}`)
			}))
			c := &Current{HTTP: NewHTTP("cscs/test"), Endpoint: srv.URL, Login: &logins{"a"}}
			done := make(chan error, 1)
			go func() {
				_, _, err := c.Certify(t.Context(), newPublic(t))
				done <- err
			}()
			<-asked
			stop(answerTimeout + 2*time.Second)
			close(goOn) // the server is in this process, and answers when it continues
			if err := <-done; err != nil {
				t.Errorf("stopped %s: %v", name, err)
			}
			srv.Close()
		}
	})
}
