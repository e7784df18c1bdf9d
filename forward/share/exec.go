package share

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/alps-tunnel/cscs/forward/chain"
)

// Exec is like that of chain.Chain, except for a command that the last hop refuses because of too
// many on this connection (sshd's MaxSessions, 10 by default). Exec runs that command on another
// connection, which is shared by the same rules.
func (c *Chain) Exec(ctx context.Context, command string, stdin io.Reader, stdout, stderr io.Writer) error {
	err := c.Chain.Exec(ctx, command, stdin, stdout, stderr)
	var refused *chain.OpenError
	if !errors.As(err, &refused) || refused.Addr != "session" || c.nextDial.rendezvous.nth >= maxChains {
		return err
	}
	// The refused command had read nothing of stdin, so the retry is safe.
	next, failed := c.dialNext(ctx)
	if failed != nil {
		return fmt.Errorf("%w; dial another connection: %w", err, failed)
	}
	return next.Exec(ctx, command, stdin, stdout, stderr)
}

// dialNext returns the connection for commands that the host refuses on this one. It may dial it.
func (c *Chain) dialNext(ctx context.Context) (*Chain, error) {
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if c.Chain.Err() != nil {
		return nil, c.Chain.Err()
	}
	if next := c.nextChain(); next != nil {
		return next, nil
	}
	ctx, cancel := context.WithCancelCause(ctx)
	var watching sync.WaitGroup
	watching.Go(func() {
		select {
		case <-c.Chain.Done():
			cancel(c.Chain.Err())
		case <-ctx.Done():
		}
	})
	defer watching.Wait()
	defer cancel(nil)
	nextDial := c.nextDial
	next, err := nextDial.joinOrDial(ctx)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	c.next = next
	c.mu.Unlock()
	c.tasks.Go(func() { c.followLeaving(next.leaving) })
	c.tasks.Go(func() {
		<-next.Done()
		c.endChain(next.Err()) // a caller with a command there must dial anew
	})
	return next, nil
}

// nextChain returns the further connection, or nil.
func (c *Chain) nextChain() *Chain {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.next
}
