package site

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"os/user"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A question is what ssh is asked: "what would you do for this name?" The user
// and port matter because Match blocks may depend on them.
type question struct {
	name string
	user string
	port int
}

// settings is the answer, as far as it matters here. Nothing in it is expanded.
type settings struct {
	hostName         string
	user             string // empty if it is only the local user's name
	port             int
	proxyJump        string
	proxyCommand     string
	identityFiles    []string // nil if they are only ssh's defaults
	identitiesOnly   bool
	certificateFiles []string
	identityAgent    string
	userKnownHosts   []string
	globalKnownHosts []string
	hostKeyAlias     string
	strict           string
	addressFamily    string
	connectTimeout   time.Duration
}

// askTimeout bounds one ssh -G. It takes some 50 ms, but runs the user's own
// commands where ~/.ssh/config says "Match exec".
const askTimeout = 15 * time.Second

// nobody is a name that no configuration means: what ssh says of it, it says of
// every name ("Host *").
const nobody = "cscs-asks-about-any-host"

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
		a.read = a.newFallback()
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

// prefetch asks all at once, so that the answers cost one wait together. Errors
// are remembered like answers and told by whoever needs that answer.
func (a *asker) prefetch(ctx context.Context, qs ...question) {
	var wg sync.WaitGroup
	for _, q := range qs {
		wg.Go(func() { _, _ = a.ask(ctx, q) })
	}
	wg.Wait()
}

// knows says whether ssh's configuration means this very name, by a HostName or
// a way of its own, rather than by what it says of any host.
func (a *asker) knows(ctx context.Context, name string) (byHostName, byJump bool, err error) {
	a.prefetch(ctx, question{name: name}, question{name: nobody})
	s, err := a.ask(ctx, question{name: name})
	if err != nil {
		return false, false, err
	}
	any, err := a.ask(ctx, question{name: nobody})
	if err != nil {
		return false, false, err
	}
	byHostName = !strings.EqualFold(s.hostName, strings.ReplaceAll(any.hostName, nobody, name))
	byJump = s.proxyJump != any.proxyJump || s.proxyCommand != any.proxyCommand
	return byHostName, byJump, nil
}

func (a *asker) askSSH(ctx context.Context, q question) (settings, error) {
	if !plainHost(q.name) {
		return settings{}, &SSHConfigError{Host: q.name, Message: "not a host name"}
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
	err := cmd.Run()
	switch {
	case ctx.Err() == context.DeadlineExceeded:
		return settings{}, &SSHConfigError{Host: q.name, Message: fmt.Sprintf("ssh -G gave no answer in %v (a command of \"Match exec\"?)", askTimeout)}
	case ctx.Err() != nil:
		return settings{}, context.Cause(ctx)
	case err != nil:
		message, _, _ := strings.Cut(strings.TrimSpace(stderr.String()), "\n")
		if message = strings.TrimSpace(message); message == "" {
			message = "ssh -G: " + err.Error()
		}
		return settings{}, &SSHConfigError{Host: q.name, Message: message}
	}
	s := parseAnswer(stdout.Bytes())
	if q.user == "" && isLocalUser(s.user) {
		// ssh always names a user. Where it is the local one, nobody has said
		// so on purpose, most likely, and the certificate knows better.
		s.user = ""
	}
	return s, nil
}

// plainHost keeps from ssh what it would take for an option or would refuse.
func plainHost(name string) bool {
	return name != "" && name[0] != '-' && !strings.ContainsAny(name, " \t\r\n\"'`$\\;&<>|(){}")
}

// parseAnswer reads the output of ssh -G: one lower-case keyword and its value a line.
func parseAnswer(out []byte) settings {
	var s settings
	sc := bufio.NewScanner(bytes.NewReader(out))
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		key, value, _ := strings.Cut(strings.TrimRight(sc.Text(), "\r"), " ")
		s.set(key, value)
	}
	if defaultIdentities(s.identityFiles) {
		s.identityFiles = nil
	}
	return s
}

func (s *settings) set(key, value string) {
	none := strings.EqualFold(value, "none")
	switch key {
	case "hostname":
		s.hostName = value
	case "user":
		s.user = value
	case "port":
		s.port, _ = strconv.Atoi(value)
	case "proxyjump":
		if !none {
			s.proxyJump = value
		}
	case "proxycommand":
		if !none {
			s.proxyCommand = value
		}
	case "identityfile":
		s.identityFiles = append(s.identityFiles, value)
	case "identitiesonly":
		s.identitiesOnly = isYes(value)
	case "certificatefile":
		if !none {
			s.certificateFiles = append(s.certificateFiles, value)
		}
	case "identityagent":
		s.identityAgent = value
	case "userknownhostsfile":
		s.userKnownHosts = splitFiles(value)
	case "globalknownhostsfile":
		s.globalKnownHosts = splitFiles(value)
	case "hostkeyalias":
		s.hostKeyAlias = value
	case "stricthostkeychecking":
		s.strict = strings.ToLower(value)
	case "addressfamily":
		s.addressFamily = strings.ToLower(value)
	case "connecttimeout":
		if n, err := strconv.Atoi(value); err == nil {
			s.connectTimeout = time.Duration(n) * time.Second
		}
	}
}

func isYes(v string) bool { return strings.EqualFold(v, "yes") || strings.EqualFold(v, "true") }

// splitFiles takes apart a list of files. ssh -G prints them without quotes,
// so a name with a space in it is known only by what its second half lacks: the
// beginning of a path.
func splitFiles(value string) []string {
	if strings.EqualFold(value, "none") {
		return nil
	}
	var files []string
	for f := range strings.FieldsSeq(value) {
		begins := strings.HasPrefix(f, "/") || strings.HasPrefix(f, "~") || strings.HasPrefix(f, "%") ||
			strings.HasPrefix(f, "$") || strings.HasPrefix(f, "__PROGRAMDATA__") || len(f) > 1 && f[1] == ':'
		if begins || len(files) == 0 {
			files = append(files, f)
		} else {
			files[len(files)-1] += " " + f
		}
	}
	return files
}

// defaultIdentities recognises the list that ssh tries when no IdentityFile is configured.
// It has grown and shrunk over the years; a user's own list of four of them
// or more, and nothing else, comes to the same.
func defaultIdentities(files []string) bool {
	for _, f := range files {
		switch strings.TrimPrefix(f, "~/.ssh/") {
		case "id_rsa", "id_ecdsa", "id_ecdsa_sk", "id_ed25519", "id_ed25519_sk", "id_xmss", "id_dsa", "id_mldsa44_ed25519":
		default:
			return false
		}
	}
	return len(files) > 3
}

// isLocalUser says whether name is the one that ssh takes when it is told none.
func isLocalUser(name string) bool {
	local := localUser()
	return name == local || strings.EqualFold(name, local) && strings.Contains(local, `\`) // Windows: DOMAIN\name
}

func localUser() string {
	u, err := user.Current()
	if err != nil {
		return ""
	}
	return u.Username
}

var errNoSSH = errors.New("there is no ssh program")
