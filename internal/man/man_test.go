package man

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestPage writes a page with everything that the help has.
func TestPage(t *testing.T) {
	p := NewPage(Reference{"tool-run", 1}, time.Unix(1e9, 0), "tool 1.0", "Run a 'tool'")
	p.AddHeading("Synopsis")
	p.AddSynopsis("tool run", "[flags] -- COMMAND…")
	p.AddHeading("Description")
	p.AddText(`A paragraph of
two lines.

.config is the first word: no macro.

  one    in one line
  two    in two
         lines
  a long term
         is on its own line

    code = "~"  # as it is

      and more

Files:
  ~/.tool   its "file"`)
	p.AddHeading("Options")
	p.AddSubheading("Where it's run")
	p.AddItem("-c, --cluster", "NAME", `a cluster`)
	p.AddItem("--json", "", `write C:\events, ü`)
	p.AddHeading("See also")
	p.AddReferences([]Reference{{"tool", 1}, {"tool-config", 5}})
	want := `.TH TOOL\-RUN 1 2001-09-09 "tool 1.0" "cscs manual"
.nh
.ad l
.SH "NAME"
tool\-run \- Run a \(aqtool\(aq
.SH "SYNOPSIS"
\fBtool run\fR [flags] \-\- COMMAND...
.SH "DESCRIPTION"
A paragraph of two lines.
.PP
\&.config is the first word: no macro.
.TP
\fBone\fR
in one line
.TP
\fBtwo\fR
in two lines
.TP
\fBa long term\fR
is on its own line
.PP
.EX
code = \(dq\(ti\(dq  # as it is
.EE
.PP
.EX
  and more
.EE
.SH "FILES"
.TP
\fB\(ti/.tool\fR
its \(dqfile\(dq
.SH "OPTIONS"
.SS "Where it\(aqs run"
.TP
\fB\-c, \-\-cluster\fR \fINAME\fR
a cluster
.TP
\fB\-\-json\fR
write C:\eevents, \[u00FC]
.SH "SEE ALSO"
.BR tool (1),
.BR tool\-config (5)
`
	if diff := cmp.Diff(want, string(p.Bytes())); diff != "" {
		t.Error(diff)
	}
}
