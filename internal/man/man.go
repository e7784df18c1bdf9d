// Package man writes pages of the manual, with the macros of man(7). Its input is the plain text of the help.
//
// cobra/doc is no alternative: it has no groups of flags and no names of their values, it reads the help as
// Markdown, where <NAME> and *.toml disappear, and mandoc -Tlint warns of its pages.
package man

import (
	"fmt"
	"strings"
	"time"
)

// A Page is a page that is being written. What is added comes in order.
type Page struct {
	roff    strings.Builder
	started bool // the section has text, from which a further paragraph is separated
}

// A Reference names a page.
type Reference struct {
	Name    string
	Section int
}

// Path returns the path of the page's file below a directory of the manual, such as man1/ls.1, with slashes.
func (r Reference) Path() string { return fmt.Sprintf("man%d/%s.%d", r.Section, r.Name, r.Section) }

// NewPage returns a page that begins with the section NAME. date and source, the name of the program, are in its
// footer.
func NewPage(page Reference, date time.Time, source, short string) *Page {
	p := new(Page)
	// Commands and names of pages are not broken at hyphens, and blanks in them keep their width.
	fmt.Fprintf(&p.roff, ".TH %s %d %s \"%s\" \"cscs manual\"\n.nh\n.ad l\n", strings.ToUpper(escape(page.Name)), page.Section, date.UTC().Format(time.DateOnly), escape(source))
	p.AddHeading("Name")
	p.addLine(page.Name + " - " + short)
	return p
}

// Bytes returns the page.
func (p *Page) Bytes() []byte { return []byte(p.roff.String()) }

// AddHeading begins a section. Its title is in capitals, as is customary.
func (p *Page) AddHeading(title string) {
	fmt.Fprintf(&p.roff, ".SH \"%s\"\n", strings.ToUpper(escape(title)))
	p.started = false
}

// AddSubheading begins a part of a section.
func (p *Page) AddSubheading(title string) {
	fmt.Fprintf(&p.roff, ".SS \"%s\"\n", escape(title))
	p.started = false
}

// AddSynopsis adds one form of a command line, with the words of command in bold.
func (p *Page) AddSynopsis(command, rest string) {
	p.separate()
	fmt.Fprintf(&p.roff, "\\fB%s\\fR %s\n", escape(command), escape(rest))
}

// AddItem adds an item of a list. The term is in bold, and the value that it takes, if any, in italics.
func (p *Page) AddItem(term, value, text string) {
	term = `\fB` + escape(term) + `\fR`
	if value != "" {
		term += ` \fI` + escape(value) + `\fR`
	}
	fmt.Fprintf(&p.roff, ".TP\n%s\n", term)
	p.addLine(text)
}

// AddCode adds lines as they are.
func (p *Page) AddCode(code string) {
	p.separate()
	p.roff.WriteString(".EX\n")
	for line := range strings.Lines(code) {
		p.addLine(strings.TrimRight(line, "\n"))
	}
	p.roff.WriteString(".EE\n")
}

// AddReferences adds the names of other pages.
func (p *Page) AddReferences(pages []Reference) {
	for i, r := range pages {
		comma := ","
		if i == len(pages)-1 {
			comma = ""
		}
		fmt.Fprintf(&p.roff, ".BR %s (%d)%s\n", escape(r.Name), r.Section, comma)
	}
}

// AddText adds a text of the help: blocks with empty lines between them. A block is a paragraph; a list, whose
// lines begin with two blanks; or code, whose lines begin with four. A heading above a list or code begins a
// section.
func (p *Page) AddText(text string) {
	for block := range strings.SplitSeq(strings.Trim(text, "\n"), "\n\n") {
		first, rest, _ := strings.Cut(block, "\n")
		if title, ok := strings.CutSuffix(first, ":"); ok && strings.HasPrefix(rest, "  ") {
			p.AddHeading(title)
			block = rest
		}
		switch {
		case strings.HasPrefix(block, "    "):
			p.AddCode(unindent(block, 4))
		case strings.HasPrefix(block, "  "):
			p.addList(unindent(block, 2))
		default:
			p.separate()
			p.addLine(strings.ReplaceAll(block, "\n", " "))
		}
	}
}

// addList adds a list of terms, each with two blanks or more between it and its text. A line that is indented
// continues the text of the item above.
func (p *Page) addList(list string) {
	var term, text string
	for line := range strings.Lines(list) {
		line = strings.TrimRight(line, "\n")
		if strings.HasPrefix(line, " ") {
			text = strings.TrimSpace(text + " " + strings.TrimSpace(line))
			continue
		}
		if term != "" {
			p.AddItem(term, "", text)
		}
		term, text, _ = strings.Cut(line, "  ")
		text = strings.TrimSpace(text)
	}
	p.AddItem(term, "", text)
}

// separate begins a paragraph, unless nothing is above it.
func (p *Page) separate() {
	if p.started {
		p.roff.WriteString(".PP\n")
	}
	p.started = true
}

// addLine adds a line of text.
func (p *Page) addLine(text string) {
	p.roff.WriteString(escape(text) + "\n")
	p.started = true
}

// unindent removes n columns from the beginning of each line.
func unindent(block string, n int) string {
	return strings.TrimPrefix(strings.ReplaceAll(block, "\n"+strings.Repeat(" ", n), "\n"), strings.Repeat(" ", n))
}

// escape returns text for a line or for an argument of a macro. It replaces the characters that roff does not
// print as they are (groff_char(7), "Basic Latin"). A hyphen becomes a minus sign, so that a command can be copied
// from the page. A letter that is not ASCII is given by its number, since the page is read in any locale.
func escape(text string) string {
	special := strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`, "`", `\(ga`, "^", `\(ha`, "~", `\(ti`, `"`, `\(dq`, "…", "...")
	var out strings.Builder
	if strings.HasPrefix(text, ".") {
		out.WriteString(`\&`) // this line is no macro
	}
	for _, r := range special.Replace(text) {
		if r > '~' {
			fmt.Fprintf(&out, `\[u%04X]`, r)
		} else {
			out.WriteRune(r)
		}
	}
	return out.String()
}
