package key

import (
	"cmp"
	"context"
	"sync"
	"time"
)

const (
	// queryTimeout is the time for an agent that lists its keys without asking its user; a slower one
	// hangs. The doctor gives each check 5 s and must have time to report it.
	queryTimeout = 3 * time.Second

	// UserTime is the time for an agent that asks its user before it lists its keys, as password
	// managers do. ssh itself waits forever.
	UserTime = time.Minute

	// noticeAfter is the wait after which the user is told of it.
	noticeAfter = 2 * time.Second
)

// Lists keeps the key lists of agents for one command and asks each agent once, since an agent may ask
// its user each time. A context carries Lists (In); without them an agent has 3 s each time.
type Lists struct {
	// Waiting is called if an agent has not answered for 2 s. The agent has UserTime in all.
	Waiting func(socket string)

	limit time.Duration // 0: UserTime; for tests

	mu      sync.Mutex
	byAgent map[Agent]*agentList
}

type agentList struct {
	mu   sync.Mutex // held while the agent is asked
	done bool
	held []heldKey
	err  error
}

type listsKey struct{}

// In returns a context in which l keeps the lists of agents. A nil l keeps none, as without In.
func (l *Lists) In(ctx context.Context) context.Context {
	return context.WithValue(ctx, listsKey{}, l)
}

// listKeys returns the keys that the agent holds. It asks the agent unless ctx's Lists has its list.
func (a Agent) listKeys(ctx context.Context) ([]heldKey, error) {
	if a == "" {
		return nil, &NoAgentError{}
	}
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
		<-noticed // the caller may print next
	}
	l.done = ctx.Err() == nil
	return l.held, l.err
}

func (l *Lists) listFor(a Agent) *agentList {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.byAgent == nil {
		l.byAgent = map[Agent]*agentList{}
	}
	if l.byAgent[a] == nil {
		l.byAgent[a] = &agentList{}
	}
	return l.byAgent[a]
}

// forgetList makes the next listKeys ask the agent again, whose keys have changed.
func (a Agent) forgetList(ctx context.Context) {
	all, _ := ctx.Value(listsKey{}).(*Lists)
	if all == nil {
		return
	}
	all.mu.Lock()
	defer all.mu.Unlock()
	delete(all.byAgent, a)
}
