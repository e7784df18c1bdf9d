package notify

import "context"

func showNotification(context.Context, string, string) error { return ErrNoDesktop }
