package service

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/alps-tunnel/cscs/internal/runclock"
)

// errAnswerTimeout reports that no complete answer came in time.
var errAnswerTimeout = fmt.Errorf("no answer within %v", answerTimeout)

// timed gives each request, with the body of its answer, answerTimeout. The timeout of http.Client
// also counts the time in which the process is stopped (Ctrl-Z): it would discard an answer that
// has arrived, and one of the day's signings with it.
type timed struct{ next http.RoundTripper }

func (t timed) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx, cancel := runclock.WithTimeoutCause(req.Context(), answerTimeout, errAnswerTimeout)
	resp, err := t.next.RoundTrip(req.WithContext(ctx))
	if err != nil {
		err = convertTimeout(ctx, err)
		cancel()
		return nil, err
	}
	resp.Body = &timedBody{resp.Body, ctx, cancel}
	return resp, nil
}

// timedBody is the body of an answer. The timeout of its request runs until it is closed.
type timedBody struct {
	io.ReadCloser
	ctx    context.Context //nolint:containedctx // of the request that the body belongs to
	cancel context.CancelFunc
}

func (b *timedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = convertTimeout(b.ctx, err)
	}
	return n, err
}

func (b *timedBody) Close() error {
	defer b.cancel()
	return b.ReadCloser.Close()
}

// convertTimeout returns errAnswerTimeout if the timeout ended the request, else err.
func convertTimeout(ctx context.Context, err error) error {
	if errors.Is(context.Cause(ctx), errAnswerTimeout) {
		return errAnswerTimeout
	}
	return err
}
