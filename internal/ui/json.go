package ui

import (
	"encoding/json"
	"fmt"

	"github.com/alps-tunnel/cscs/session"
)

// jsonPrinter writes one object a line. The form is session.Event's own, a
// contract with whoever reads it.
type jsonPrinter struct {
	io  *IO
	enc *json.Encoder
}

// NewJSON is the printer of --json.
func NewJSON(io *IO) Printer {
	enc := json.NewEncoder(io.Out)
	enc.SetEscapeHTML(false) // "&" in a URL stays one; this is not for web pages
	return &jsonPrinter{io: io, enc: enc}
}

// Event writes e, and shows the link with its secret to a person who looks on, since
// it is never part of the JSON.
func (p *jsonPrinter) Event(e session.Event) {
	// A reader that went away is no reason to end the session, whose end it
	// might no longer learn about; Ctrl-C is.
	_ = p.enc.Encode(e)
	if e.Event == session.EventReady && e.Link != "" && e.Link != e.URL && p.io.ErrTTY {
		fmt.Fprintln(p.io.Err, Clean(e.Link))
	}
}
