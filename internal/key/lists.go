package key

import (
	"cmp"
	"context"
	"sync"
	"time"
)

const (
	// queryTimeout is how long an agent may take that only looks into its memory; if that takes longer,
	// it hangs. The doctor, which gives each check 5 s, is to report it.
	queryTimeout = 3 * time.Second

	// UserTime is how long an agent may take that asks its user before it lists its keys, as
	// password managers do. ssh itself waits forever.
	UserTime = time.Minute

	// noticeAfter is when the user learns that an agent is waited for.
	noticeAfter = 2 * time.Second
)

// Lists are what agents have listed for one command, each asked once: one that asks its user may
// do so each time. A context carries them (In); without them an agent has 3 s each time.
type Lists struct {
	// Waiting is called when an agent has not answered for 2 s. Then it has UserTime.
	Waiting func(socket string)

	limit time.Duration // 0: UserTime; for tests

	mu      sync.Mutex
	byAgent map[agentAddr]*agentList
}

type agentList struct {
	mu   sync.Mutex // held while the agent is asked
	done bool
	held []heldKey
	err  error
}

type listsKey struct{}

// In returns a context in which agents are asked by l; nil: by none, as without In.
func (l *Lists) In(ctx context.Context) context.Context {
	return context.WithValue(ctx, listsKey{}, l)
}

// listKeys returns what the agent holds, and asks it if it has not been asked before.
func (a agentAddr) listKeys(ctx context.Context) ([]heldKey, error) {
	all, _ := ctx.Value(listsKey{}).(*Lists)
	if all == nil {
		return a.queryKeys(ctx, queryTimeout)
	}
	l := all.listFor(a)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.done {
		return l.held, l.err
	}
	noticed := make(chan struct{})
	notice := time.AfterFunc(noticeAfter, func() {
		defer close(noticed)
		all.Waiting(string(a))
	})
	l.held, l.err = a.queryKeys(ctx, cmp.Or(all.limit, UserTime))
	if !notice.Stop() {
		<-noticed // what comes next may be printed, too
	}
	l.done = ctx.Err() == nil
	return l.held, l.err
}

func (l *Lists) listFor(a agentAddr) *agentList {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.byAgent == nil {
		l.byAgent = map[agentAddr]*agentList{}
	}
	if l.byAgent[a] == nil {
		l.byAgent[a] = &agentList{}
	}
	return l.byAgent[a]
}

// forgetList has the agent asked again: what it holds has changed.
func (a agentAddr) forgetList(ctx context.Context) {
	all, _ := ctx.Value(listsKey{}).(*Lists)
	if all == nil {
		return
	}
	all.mu.Lock()
	defer all.mu.Unlock()
	delete(all.byAgent, a)
}
