//go:build lab

package e2e

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

// traffic reads the server's numbers through the tunnel, over one connection after the
// other. A connection may be lost; what came over it may have no gap, and no orderly end.
type traffic struct {
	lines, connections int
	bad                string
	began              chan struct{} // closed by the first number
	stop               func()
}

func watchTraffic(s *session) *traffic {
	ctx, cancel := context.WithCancel(context.Background())
	c := &traffic{began: make(chan struct{})}
	var wg sync.WaitGroup
	wg.Go(func() {
		url := ""
		s.stdout.await(10*time.Minute, func(text string) string {
			events, _ := parseEvents(text)
			for _, e := range events {
				if e.Event == "ready" {
					url = e.URL
				}
			}
			if url == "" && ctx.Err() != nil {
				return "stopped"
			}
			return url
		})
		for url != "" && ctx.Err() == nil && c.bad == "" {
			select {
			case <-s.done:
				return
			default:
			}
			c.read(ctx, url)
		}
	})
	c.stop = sync.OnceFunc(func() {
		cancel()
		s.stdout.poke()
		wg.Wait()
	})
	return c
}

func (c *traffic) read(ctx context.Context, url string) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"count", nil)
	if err != nil {
		c.bad = err.Error()
		return
	}
	req.Close = true
	client := *onLaptop
	client.Timeout = 0 // it lasts
	resp, err := client.Do(req)
	if err != nil || resp.StatusCode != http.StatusOK {
		if err == nil {
			_ = resp.Body.Close()
		}
		pause, cancel := context.WithTimeout(ctx, 100*time.Millisecond) // refused, or the laptop is down
		defer cancel()
		<-pause.Done()
		return
	}
	defer func() { _ = resp.Body.Close() }()
	c.connections++
	r := bufio.NewReader(resp.Body)
	for n := 1; ; n++ {
		line, err := r.ReadString('\n')
		switch {
		case errors.Is(err, io.EOF):
			c.bad = fmt.Sprintf("after %d numbers the stream, which has no end, ended in an orderly way", n-1)
			return
		case err != nil:
			return
		case line != fmt.Sprintln(n):
			c.bad = fmt.Sprintf("after number %d came %q", n-1, line)
			return
		}
		if c.lines++; c.lines == 1 {
			close(c.began)
		}
	}
}
