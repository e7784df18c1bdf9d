package slurm

import (
	"sort"
	"strings"

	"al.essio.dev/pkg/shellescape"
)

// vars are the variables that stand before the remote half's script. This is the
// one place where anything is quoted for a shell.
type vars struct{ b strings.Builder }

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
