package site

import (
	"bytes"
	"cmp"
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

// A question asks ssh for its settings for a name. The user and port matter because Match blocks may depend on them.
type question struct {
	name string
	user string
	port int
}

// askTimeout limits one ssh -G. It takes about 50 ms, but it runs the user's commands of "Match exec".
const askTimeout = 15 * time.Second

// anyHostName is a name that no configuration names. The settings that ssh has for it are those for
// every name ("Host *").
const anyHostName = "__any__"

// An asker asks ssh each question once.
type asker struct {
	file string // instead of ~/.ssh/config, if not empty
	read func(ctx context.Context, q question) (settings, error)

	mu       sync.Mutex
	answers  map[question]func() (settings, error)
	warnings []string
}

func newAsker(file string) *asker {
	a := &asker{file: file, answers: map[question]func() (settings, error){}}
	a.read = a.askSSH
	if _, err := exec.LookPath("ssh"); err != nil {
		// Read none of the user's files before the first question.
		fallback := sync.OnceValue(a.newFallback)
		a.read = func(ctx context.Context, q question) (settings, error) { return fallback()(ctx, q) }
	}
	return a
}

// ask returns the answer to one question.
func (a *asker) ask(ctx context.Context, q question) (settings, error) {
	a.mu.Lock()
	answer := a.answers[q]
	if answer == nil {
		answer = sync.OnceValues(func() (settings, error) { return a.read(ctx, q) })
		a.answers[q] = answer
	}
	a.mu.Unlock()
	return answer()
}

// askBoth returns the settings for a name and those for any host.
func (a *asker) askBoth(ctx context.Context, name string) (named, any settings, err error) {
	if named, err = a.ask(ctx, question{name: name}); err == nil {
		any, err = a.ask(ctx, question{name: anyHostName})
	}
	return named, any, err
}

// prefetchAnswers asks all questions concurrently. ask returns the errors later, like answers.
func (a *asker) prefetchAnswers(ctx context.Context, qs ...question) {
	var wg sync.WaitGroup
	for _, q := range qs {
		wg.Go(func() { _, _ = a.ask(ctx, q) })
	}
	wg.Wait()
}

// isHostDefined reports whether ssh's configuration defines the destination of this name, by a
// HostName, ProxyJump or ProxyCommand that differs from those for any host.
func (a *asker) isHostDefined(ctx context.Context, name string) (byHostName, byJump bool, err error) {
	a.prefetchAnswers(ctx, question{name: name}, question{name: anyHostName})
	s, any, err := a.askBoth(ctx, name)
	if err != nil {
		return false, false, err
	}
	byHostName = !strings.EqualFold(s.hostName, strings.ReplaceAll(any.hostName, anyHostName, name))
	byJump = s.proxyJump != any.proxyJump || s.proxyCommand != any.proxyCommand
	return byHostName, byJump, nil
}

// blockSettings are the settings that a block may make without a destination.
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

// findHostKeywords returns the keywords that ssh's configuration sets for this name but not for any
// host. lay copies their values to settings. A User equal to the local user's name counts as not set.
func (a *asker) findHostKeywords(ctx context.Context, name string) (keywords []string, lay func(to *settings), err error) {
	s, any, err := a.askBoth(ctx, name)
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

// askSSH runs ssh -G for a question.
func (a *asker) askSSH(ctx context.Context, q question) (settings, error) {
	if !plainHost(q.name) {
		return settings{}, &SSHConfigError{Host: q.name, Message: "not a host name"}
	}
	if err := a.checkSpecialFile(); err != nil {
		return settings{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	args := []string{"-T"} // without it ssh reports that there is no terminal
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
		return settings{}, &SSHConfigError{Host: q.name, Message: fmt.Sprintf("ssh -G did not answer within %v (a command of \"Match exec\"?)", askTimeout)}
	case ctx.Err() != nil:
		return settings{}, context.Cause(ctx)
	case err != nil:
		refused := readRefusal(q.name, stderr.String())
		refused.Message = cmp.Or(refused.Message, "ssh -G: "+err.Error())
		return settings{}, refused
	}
	s := parseAnswer(stdout.Bytes())
	if q.user == "" && isLocalUser(s.user) {
		// ssh always names a user. The local user's name is most likely not set on purpose, and the
		// certificate names a better one.
		s.user = ""
	}
	return s, nil
}

// checkSpecialFile returns an error for a configuration file of the user's on which ssh would block forever.
func (a *asker) checkSpecialFile() error {
	file := cmp.Or(a.file, expandHome("~/.ssh/config"))
	var special *regular.Error
	if err := regular.Check(file); file != os.DevNull && errors.As(err, &special) {
		return special
	}
	return nil // ssh reports all other errors
}

// plainHost reports whether name is a host name that ssh neither refuses nor takes for an option.
func plainHost(name string) bool {
	return name != "" && len(name) <= 255 && name[0] != '-' && utf8.ValidString(name) &&
		!strings.ContainsFunc(name, unicode.IsControl) && !strings.ContainsAny(name, " \"'`$\\/;&<>|(){}")
}
