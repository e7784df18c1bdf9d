package site

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/alps-tunnel/cscs/internal/matchexec"
	"github.com/alps-tunnel/cscs/internal/regular"
)

// A question is what ssh is asked: "what would you do for this name?" The user
// and port matter because Match blocks may depend on them.
type question struct {
	name string
	user string
	port int
}

// askTimeout bounds one ssh -G. It takes some 50 ms, but runs the user's own
// commands where ~/.ssh/config says "Match exec".
const askTimeout = 15 * time.Second

// anyHostName is a name that no configuration means, nor a pattern in one: what ssh says of it, it
// says of every name ("Host *").
const anyHostName = "__any__"

// An asker asks ssh, each question once.
type asker struct {
	file string // instead of ~/.ssh/config, if not empty
	read func(ctx context.Context, q question) (settings, error)

	mu       sync.Mutex
	answers  map[question]*answer
	warnings []string
}

type answer struct {
	once sync.Once
	settings
	err error
}

func newAsker(file string) *asker {
	a := &asker{file: file, answers: map[question]*answer{}}
	a.read = a.askSSH
	if _, err := exec.LookPath("ssh"); err != nil {
		// Nothing of the user's is read before somebody asks.
		fallback := sync.OnceValue(a.newFallback)
		a.read = func(ctx context.Context, q question) (settings, error) { return fallback()(ctx, q) }
	}
	return a
}

// ask answers one question.
func (a *asker) ask(ctx context.Context, q question) (settings, error) {
	a.mu.Lock()
	ans := a.answers[q]
	if ans == nil {
		ans = &answer{}
		a.answers[q] = ans
	}
	a.mu.Unlock()
	ans.once.Do(func() { ans.settings, ans.err = a.read(ctx, q) })
	return ans.settings, ans.err
}

// prefetchAnswers asks all at once, so that the answers cost one wait together. Errors
// are remembered like answers and told by whoever needs that answer.
func (a *asker) prefetchAnswers(ctx context.Context, qs ...question) {
	var wg sync.WaitGroup
	for _, q := range qs {
		wg.Go(func() { _, _ = a.ask(ctx, q) })
	}
	wg.Wait()
}

// isHostDefined says whether ssh's configuration means this very name, by a HostName or
// a way of its own, rather than by what it says of any host.
func (a *asker) isHostDefined(ctx context.Context, name string) (byHostName, byJump bool, err error) {
	a.prefetchAnswers(ctx, question{name: name}, question{name: anyHostName})
	s, err := a.ask(ctx, question{name: name})
	if err != nil {
		return false, false, err
	}
	any, err := a.ask(ctx, question{name: anyHostName})
	if err != nil {
		return false, false, err
	}
	byHostName = !strings.EqualFold(s.hostName, strings.ReplaceAll(any.hostName, anyHostName, name))
	byJump = s.proxyJump != any.proxyJump || s.proxyCommand != any.proxyCommand
	return byHostName, byJump, nil
}

// blockSettings are the settings that a block for a name may make without saying where that leads, by
// their keywords.
var blockSettings = []struct {
	word string
	same func(a, b settings) bool
	take func(to *settings, from settings)
}{
	{"User", func(a, b settings) bool { return a.user == b.user }, func(to *settings, from settings) { to.user = from.user }},
	{"Port", func(a, b settings) bool { return a.port == b.port }, func(to *settings, from settings) { to.port = from.port }},
	{"IdentityFile", func(a, b settings) bool { return slices.Equal(a.identityFiles, b.identityFiles) },
		func(to *settings, from settings) { to.identityFiles = from.identityFiles }},
	{"CertificateFile", func(a, b settings) bool { return slices.Equal(a.certificateFiles, b.certificateFiles) },
		func(to *settings, from settings) { to.certificateFiles = from.certificateFiles }},
}

// findHostKeywords are the keywords that ssh's configuration sets for this very name, otherwise than for
// any host, and lay puts them over to. A User that is the local one's name looks as if nobody had set it.
func (a *asker) findHostKeywords(ctx context.Context, name string) (keywords []string, lay func(to *settings), err error) {
	s, err := a.ask(ctx, question{name: name})
	if err != nil {
		return nil, nil, err
	}
	any, err := a.ask(ctx, question{name: anyHostName})
	if err != nil {
		return nil, nil, err
	}
	var takes []func(*settings, settings)
	for _, k := range blockSettings {
		if !k.same(s, any) {
			keywords, takes = append(keywords, k.word), append(takes, k.take)
		}
	}
	return keywords, func(to *settings) {
		for _, take := range takes {
			take(to, s)
		}
	}, nil
}

func (a *asker) askSSH(ctx context.Context, q question) (settings, error) {
	if !plainHost(q.name) {
		return settings{}, &SSHConfigError{Host: q.name, Message: "not a host name"}
	}
	if err := a.checkSpecialFile(); err != nil {
		return settings{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	args := []string{"-T"} // without it ssh remarks that there is no terminal
	if a.file != "" {
		args = append(args, "-F", a.file)
	}
	if q.user != "" {
		args = append(args, "-l", q.user)
	}
	if q.port != 0 {
		args = append(args, "-p", strconv.Itoa(q.port))
	}
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, "ssh", append(args, "-G", q.name)...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.WaitDelay = time.Second // a command of "Match exec" may hold the pipes open
	err := matchexec.Run(ctx, cmd)
	switch {
	case ctx.Err() == context.DeadlineExceeded:
		return settings{}, &SSHConfigError{Host: q.name, Message: fmt.Sprintf("ssh -G gave no answer in %v (a command of \"Match exec\"?)", askTimeout)}
	case ctx.Err() != nil:
		return settings{}, context.Cause(ctx)
	case err != nil:
		refused := readRefusal(q.name, stderr.String())
		if refused.Message == "" {
			refused.Message = "ssh -G: " + err.Error()
		}
		return settings{}, refused
	}
	s := parseAnswer(stdout.Bytes())
	if q.user == "" && isLocalUser(s.user) {
		// ssh always names a user. Where it is the local one, nobody has said
		// so on purpose, most likely, and the certificate knows better.
		s.user = ""
	}
	return s, nil
}

// checkSpecialFile is the error for a configuration of the user's at which ssh would wait for ever.
func (a *asker) checkSpecialFile() error {
	file := a.file
	if file == "" {
		file = expandHome("~/.ssh/config")
	}
	var special *regular.Error
	if err := regular.Check(file); file != os.DevNull && errors.As(err, &special) {
		return special
	}
	return nil // what else is wrong with it, ssh says
}

// plainHost keeps from ssh what it would take for an option or would refuse.
func plainHost(name string) bool {
	return name != "" && len(name) <= 255 && name[0] != '-' && utf8.ValidString(name) &&
		!strings.ContainsFunc(name, unicode.IsControl) && !strings.ContainsAny(name, " \"'`$\\/;&<>|(){}")
}
