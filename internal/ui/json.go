package ui

import (
	"encoding/json"
	"fmt"

	"github.com/alps-tunnel/cscs/session"
)

// jsonPrinter writes one object per line, in the form of session.Event. Other programs rely on that form.
type jsonPrinter struct {
	io  *IO
	enc *json.Encoder
}

// NewJSON returns the printer of --json.
func NewJSON(io *IO) Printer {
	enc := json.NewEncoder(io.Out)
	enc.SetEscapeHTML(false) // keep "&" in URLs; the output is not for web pages
	return &jsonPrinter{io: io, enc: enc}
}

// Event writes e. The JSON never contains the link with its secret, so Event also prints the link to the
// terminal, if standard error is one.
func (p *jsonPrinter) Event(e session.Event) {
	// If the reader has gone, the session continues; only Ctrl-C ends it. The reader might not learn of the
	// end.
	_ = p.enc.Encode(e)
	if e.Event == session.EventReady && e.Link != "" && e.Link != e.URL && p.io.ErrTTY {
		fmt.Fprintln(p.io.Err, Clean(e.Link))
	}
}
