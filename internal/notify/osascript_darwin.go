package notify

import (
	"context"
	"fmt"
	"os/exec"
	"time"
)

// script gets the texts as arguments, so that they are not interpreted as script.
const script = `on run argv
display notification (item 2 of argv) with title (item 1 of argv)
end run`

func showNotification(ctx context.Context, title, text string) error {
	c := exec.CommandContext(ctx, "/usr/bin/osascript", "-e", script, title, text)
	c.WaitDelay = time.Second
	if err := c.Run(); err != nil {
		return fmt.Errorf("show notification: %w", err)
	}
	return nil
}
