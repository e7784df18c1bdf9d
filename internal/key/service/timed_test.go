package service

import (
	"context"
	"errors"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// TestSlowService: a service that gives no answer, or half of one, is given up in time.
func TestSlowService(t *testing.T) {
	for name, half := range map[string]bool{"no answer": false, "half an answer": true} {
		synctest.Test(t, func(t *testing.T) {
			h := NewHTTP("cscs/test")
			h.client.Transport = timed{roundTripper(func(r *http.Request) (*http.Response, error) {
				if half {
					return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(silent{r.Context()}), Request: r}, nil
				}
				<-r.Context().Done()
				return nil, r.Context().Err()
			})}
			began := time.Now()
			err := h.do(t.Context(), call{op: "sign", method: http.MethodGet, url: "https://keys.example.org/", okStatuses: []int{http.StatusOK}}, nil)
			if took := time.Since(began); !errors.Is(err, errAnswerTimeout) || took != answerTimeout {
				t.Errorf("%s: %v after %v", name, err, took)
			}
		})
	}
}

// silent is a body of which nothing arrives.
type silent struct{ ctx context.Context } //nolint:containedctx // of the request

func (s silent) Read([]byte) (int, error) {
	<-s.ctx.Done()
	return 0, s.ctx.Err()
}
