package key

import "context"

// Count is how many keys the agent holds. The error is a *NoAgentError or an *AgentError.
func (a Agent) Count(ctx context.Context) (int, error) {
	all, err := a.list(ctx)
	return len(all), err
}
