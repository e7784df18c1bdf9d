package notify

import "context"

func show(context.Context, string, string) error { return ErrNoDesktop }
