package slurm

import (
	"compress/gzip"
	"crypto/rand"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"

	"al.essio.dev/pkg/shellescape"

	"github.com/alps-tunnel/cscs/internal/sessionid"
)

// vars are the assignments before the remote half's script. No other code quotes for a shell.
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

// setFlag sets a variable to "1" if is is true, otherwise to "".
func (v *vars) setFlag(name string, is bool) {
	value := ""
	if is {
		value = "1"
	}
	v.setValue(name, value)
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
func (v *vars) setTable(name string, values map[string][]byte) {
	var list []string
	for _, k := range slices.Sorted(maps.Keys(values)) {
		list = append(list, k, string(values[k]))
	}
	v.setList(name, list)
}

func (v *vars) String() string { return v.b.String() }

// ownVariables unsets all cscs_* variables of the environment. One of them could replace one that
// the client has not set. The verb launch does not do this: it runs in the user's login shell,
// which can have functions named like commands, and uses no variable that the client does not set.
const ownVariables = `[[ ${1-} == launch ]] || unset -v "${!cscs_@}"` + "\n"

// buildPayload returns the standard input for bootstrap, and the line with which the answer begins.
func (c call) buildPayload() (text, mark string) {
	nonce := rand.Text()
	c.vars.setValue("cscs_nonce", nonce)
	packed := compressText(ownVariables+c.vars.String()) + compressedScript() + compressText(verbBefore+c.verb+verbAfter)
	return framePacked(packed), marker + nonce
}

// compressedScript returns the script, compressed once for all calls. The parts of a payload are
// members of one gzip file, whose texts gzip joins (RFC 1952, section 2.2).
var compressedScript = sync.OnceValue(func() string { return compressText(script()) })

// framePacked returns a compressed text as bootstrap reads it: empty lines, the header, the text.
func framePacked(packed string) string {
	return fmt.Sprintf("%s%s%d\n%s", strings.Repeat("\n", spareLines), header(), len(packed), packed)
}

// compressText returns text in the gzip format (RFC 1952).
func compressText(text string) string {
	var b strings.Builder
	w := gzip.NewWriter(&b)
	_, _ = io.WriteString(w, text) // a Builder returns no error
	_ = w.Close()
	return b.String()
}
