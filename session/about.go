package session

import (
	"cmp"
	"encoding/json"
	"maps"
	"net/url"
	"os"
	"time"

	"github.com/alps-tunnel/cscs/internal/app"
	"github.com/alps-tunnel/cscs/slurm"
)

// AboutFile is the name of the file in which a session describes itself, in its directory on the
// cluster. Other terminals and laptops read it. Only the user can access directory and file, so the
// file may contain the secret of the server's link.
const AboutFile = "session.json"

// About is the content of AboutFile.
type About struct {
	V          int        `json:"v"`
	ID         string     `json:"id"`
	App        string     `json:"app"`
	Path       string     `json:"path"`
	Ready      string     `json:"ready,omitempty"`
	Query      url.Values `json:"query,omitempty"` // the secret part of the link
	LocalPort  int        `json:"local_port,omitempty"`
	Lease      int        `json:"lease"` // seconds; the remote half reads it too (65-list.sh)
	ForwardNew bool       `json:"forward_new,omitempty"`
	Idle       int        `json:"idle,omitempty"` // seconds
	Protect    bool       `json:"protect,omitempty"`
	Begun      time.Time  `json:"begun"`
	From       string     `json:"from,omitempty"` // the laptop on which the session was begun
}

// ParseAbout parses the content of AboutFile. What it cannot read is empty.
func ParseAbout(s string) About {
	var a About
	_ = json.Unmarshal([]byte(s), &a) // of another version, or not of a session
	return a
}

// AsApp returns the app for use by another client. It cannot be started.
func (a About) AsApp() app.App {
	return app.Again(app.App{Name: a.App, LocalPort: a.LocalPort, Path: a.Path, Ready: a.Ready, Query: a.Query})
}

// addAbout adds AboutFile to the files of the launch.
func (c *Config) addAbout(l *slurm.Launch) {
	host, _ := os.Hostname() // for people: it may be missing
	a := About{V: EventVersion, ID: c.ID, App: c.App.Name, Path: c.App.Path, Ready: c.App.Ready, Query: c.App.Query, LocalPort: cmp.Or(c.wish, c.App.LocalPort), Protect: c.isProtected(), ForwardNew: c.Launch.ForwardNew,
		Lease: int(c.Lease / time.Second), Idle: int(c.Idle / time.Second), Begun: time.Now().UTC().Truncate(time.Second), From: host}
	b, err := json.Marshal(a) // one line: control characters are escaped
	if err != nil {
		panic(err) // a value of strings and numbers
	}
	l.Files = maps.Clone(l.Files)
	if l.Files == nil {
		l.Files = map[string][]byte{}
	}
	l.Files[AboutFile] = append(b, '\n')
}
