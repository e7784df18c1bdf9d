package browser

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/sourcegraph/conc"
)

// answerTime limits how long a request and the answer may take.
const answerTime = 2 * time.Second

// open opens the way in the browser by a link that works once.
func (o *opener) open(ctx context.Context, way func() Way) error {
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp4", "127.0.0.1:0")
	if err != nil {
		return &LaunchError{Err: err}
	}
	off := newOffer(way, ln.Addr().String(), o.peer)
	server := &http.Server{
		Handler:           off,
		ReadHeaderTimeout: answerTime,
		// The default logger would write to the terminal.
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
	}
	var serving conc.WaitGroup
	defer serving.Wait()
	defer func() {
		// The answer may not be sent yet.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), answerTime)
		defer cancel()
		if server.Shutdown(ctx) != nil {
			_ = server.Close()
		}
	}()
	serving.Go(func() { _ = server.Serve(ln) })
	at := off.url()
	if o.peer == nil {
		var forget func()
		if at, forget, err = writeLinkFile(at); err != nil {
			return &LaunchError{Err: err}
		}
		defer forget()
	}
	return o.awaitLinkUse(ctx, at, off.used, func() error {
		return &UnusedError{After: Lifetime, Refused: off.lastRefused()}
	})
}
