package signing

import (
	"context"
	"time"

	"github.com/alps-tunnel/cscs/internal/key"
)

// Rekey changes the passphrase of the private key at r.Path. An empty new passphrase removes it. The
// key and so its certificate stay. protected reports whether the key has a passphrase now.
//
// Errors: those of key.Open, *WriteError, *BusyError; the cause of ctx if that ended.
func Rekey(ctx context.Context, r Request) (protected bool, err error) {
	release, err := lockKey(ctx, r.State, r.Path, r.Waiting)
	if err != nil {
		return false, err
	}
	defer release()
	if _, err := sweepLeftovers(r.Path); err != nil {
		return false, err
	}
	raw, old, err := key.Open(ctx, r.Path, r.Ask)
	clear(old)
	if err != nil {
		return false, err
	}
	b := newBatch(r.Path)
	defer b.discard()
	f, err := b.stageFile(privatePart)
	if err != nil {
		return false, err
	}
	passphrase, err := r.Ask.NewPassphrase(ctx, r.Path)
	if err != nil {
		return false, err
	}
	defer clear(passphrase)
	comment := key.Inspect(r.Path, time.Now(), nil).Comment
	sealed, err := encodePrivateKey(raw, comment, passphrase)
	if err != nil {
		return false, err
	}
	defer clear(sealed)
	if err := f.write(sealed); err != nil {
		return false, err
	}
	return len(passphrase) > 0, b.commit()
}
