package slurm

import (
	"sort"
	"strings"

	"al.essio.dev/pkg/shellescape"

	"github.com/alps-tunnel/cscs/internal/sessionid"
)

// vars are the variables that stand before the remote half's script. This is the
// one place where anything is quoted for a shell.
type vars struct {
	b   strings.Builder
	err error // why no call may be made with them
}

// setID sets the ID of the session that a call is for. One that is none is an error of the call,
// a *sessionid.Error: it would become part of paths and names on the cluster.
func (v *vars) setID(id string) {
	if err := sessionid.Check(id); err != nil {
		v.err = err
	}
	v.set("cscs_id", id)
}

func (v *vars) set(name, value string) {
	v.b.WriteString(name + "=" + shellescape.Quote(value) + "\n")
}

func (v *vars) list(name string, values []string) {
	v.b.WriteString(name + "=(")
	for i, s := range values {
		if i > 0 {
			v.b.WriteByte(' ')
		}
		v.b.WriteString(shellescape.Quote(s))
	}
	v.b.WriteString(")\n")
}

// table writes an associative array, in the order of the keys.
func (v *vars) table(name string, values map[string]string) {
	v.b.WriteString("declare -A " + name + "=(")
	keys := make([]string, 0, len(values))
	for k := range values {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	for _, k := range keys {
		v.b.WriteString(" [" + shellescape.Quote(k) + "]=" + shellescape.Quote(values[k]))
	}
	v.b.WriteString(" )\n")
}

func (v *vars) String() string { return v.b.String() }
