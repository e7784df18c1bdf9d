package slurm

import (
	"maps"
	"slices"
	"strings"

	"al.essio.dev/pkg/shellescape"

	"github.com/alps-tunnel/cscs/internal/sessionid"
)

// vars are the assignments of variables before the remote half's script. No other code quotes
// anything for a shell.
type vars struct {
	b   strings.Builder
	err error // an error of a call with these variables
}

// setID sets the ID of the session that a call is for. An invalid ID becomes the call's error, a
// *sessionid.Error, because an ID becomes part of paths and names on the cluster.
func (v *vars) setID(id string) {
	if err := sessionid.Check(id); err != nil {
		v.err = err
	}
	v.setValue("cscs_id", id)
}

func (v *vars) setValue(name, value string) {
	v.b.WriteString(name + "=" + shellescape.Quote(value) + "\n")
}

func (v *vars) setList(name string, values []string) {
	v.b.WriteString(name + "=(")
	for i, s := range values {
		if i > 0 {
			v.b.WriteByte(' ')
		}
		v.b.WriteString(shellescape.Quote(s))
	}
	v.b.WriteString(")\n")
}

// setTable writes a list of each key and its value, in the order of the keys. An associative array
// would need the command declare, and the user can have a function of that name.
func (v *vars) setTable(name string, values map[string]string) {
	var list []string
	for _, k := range slices.Sorted(maps.Keys(values)) {
		list = append(list, k, values[k])
	}
	v.setList(name, list)
}

func (v *vars) String() string { return v.b.String() }
