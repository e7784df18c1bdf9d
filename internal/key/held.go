package key

import "context"

// An Agent is what is known of the user's.
type Agent struct {
	Socket string // where it listens; "": there is none
	Keys   int    // how many it holds
}

// Held asks the agent that an IdentityAgent names (as Source has it) what it holds. The
// error is an *AgentError.
func Held(ctx context.Context, named string) (Agent, error) {
	a := agentOf(named)
	if a == "" {
		return Agent{}, nil
	}
	all, err := a.list(ctx)
	return Agent{Socket: string(a), Keys: len(all)}, err
}
