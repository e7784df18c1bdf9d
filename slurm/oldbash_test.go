package slurm

import (
	"regexp"
	"testing"
)

// The clusters have bash 4.4 (SLES 15). Where no shell that old is at hand, at least what
// came later stays out of the script (bash's CHANGES, 5.0 to 5.3).
func TestNothingNewerThanBash44(t *testing.T) {
	t.Parallel()
	newer := regexp.MustCompile(`EPOCHSECONDS|EPOCHREALTIME|BASH_ARGV0|SRANDOM|BASH_MONOSECONDS|` +
		`\bwait +(-\w+ +)*-\w*p|\bwait +-f|\blocal +-I|\$\{[^}]*@[ULukK]\}|\$\{ |\$\{\||` +
		`\bread +-\w*E|\bsource +-p|localvar_inherit|assoc_expand_once|array_expand_once|GLOBSORT|patsub_replacement`)
	if m := newer.FindString(script()); m != "" {
		t.Errorf("the remote half uses %q", m)
	}
	for _, bad := range []string{
		"echo $EPOCHSECONDS", "echo $EPOCHREALTIME", "BASH_ARGV0=x", "echo $SRANDOM", "echo $BASH_MONOSECONDS", "wait -p x", "wait -n -p x", "wait -np x",
		"wait -f 7", "local -I x", "echo ${x@U}", "echo ${x[@]@K}", "x=${ date; }", "${| date; }", "read -E x", "read -rE x", "source -p . x",
		"shopt -s localvar_inherit", "shopt -s assoc_expand_once", "shopt -s array_expand_once", "GLOBSORT=name", "shopt -u patsub_replacement",
	} {
		if !newer.MatchString(bad) {
			t.Errorf("%q would not be seen", bad)
		}
	}
}
