package connect

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/alps-tunnel/cscs/internal/browser"
	"github.com/alps-tunnel/cscs/internal/key"
	"github.com/alps-tunnel/cscs/internal/key/service"
	"github.com/alps-tunnel/cscs/internal/key/signing"
	"github.com/alps-tunnel/cscs/internal/paths"
	"github.com/alps-tunnel/cscs/internal/problem"
	"github.com/alps-tunnel/cscs/internal/site"
)

// A Signer has keys signed by one service, for the user at the terminal.
type Signer struct {
	Service     site.Signing
	CountedWith []string                          // services whose signings count towards the same limit
	Named       bool                              // cscs key sign uses this service only with --service
	Prompter    Prompter                          // nil: no terminal to ask on
	Headless    bool                              // sign in on another device
	NoBrowser   bool                              // print the sign-in address, and open no browser
	User        string                            // the most likely user name, without control characters; "": not known
	Agents      func(context.Context) []key.Agent // agents that may have the key
	Comment     string                            // of a new key: USER@HOST
	UserAgent   string                            // for the services
	Say         func(line string)                 // prints a line for the user
	ShowDevice  func(service.Device)              // shows how to sign in on another device

	typedUser string // the user name that the user typed
}

// apiKeyVar is the environment variable of a service account's key; CSCS has named it.
const apiKeyVar = "CSCS_API_KEY" //nolint:gosec // the name of a variable

// IsUnattended reports whether the service signs without a user.
func (s *Signer) IsUnattended() bool {
	return s.Service.Kind == site.SigningCSCS && apiKey() != ""
}

// apiKey returns the service account's key without the line end of the file that it came from; "": none.
func apiKey() string { return strings.TrimSpace(os.Getenv(apiKeyVar)) }

// Sign has the key at path signed. It creates a missing key. The error of the signing itself is a
// *problem.SigningError.
func (s *Signer) Sign(ctx context.Context, path string) (signing.Result, error) {
	return s.signAfter(ctx, path, nil)
}

// signAfter is Sign for a caller that inspected the key before it asked the user. before is nil without a
// question.
func (s *Signer) signAfter(ctx context.Context, path string, before *key.State) (signing.Result, error) {
	state, err := paths.StateDir()
	if err != nil {
		return signing.Result{}, err
	}
	svc, err := s.signingService()
	if err != nil {
		return signing.Result{}, err
	}
	r := signing.Request{
		Service: svc, Name: s.Service.Name, Path: path, State: state, Comment: s.Comment, Short: s.IsUnattended(),
		Held: key.HeldBy(ctx, s.Agents), Before: before,
		Waiting: func() { s.Say("another cscs is having this key signed; waiting for it") },
	}
	if s.Prompter != nil {
		r.Ask = Passphrases{Prompter: s.Prompter, Question: NewKeyQuestion}
	}
	result, err := signing.Sign(ctx, r)
	if err != nil {
		return result, &problem.SigningError{Flags: s.signFlags(path), Err: err}
	}
	if whose := result.Cert.ValidPrincipals; s.typedUser != "" && !slices.Contains(whose, s.typedUser) {
		s.Say("the certificate is for " + strings.Join(whose, ", ") + ", not for " + s.typedUser)
	}
	return result, nil
}

// UsedSignings returns how many signings count today, as far as this machine knows, and the service's daily
// limit. of is 0 if the limit is not known.
func (s *Signer) UsedSignings() (n, of int) {
	state, err := paths.StateDir()
	if err != nil {
		return 0, 0
	}
	return signing.OpenJournal(state).Used(s.Service.Name, time.Now(), s.CountedWith...), s.Service.PerDay
}

// signFlags returns the flags with which cscs key sign does the same.
func (s *Signer) signFlags(path string) string {
	var service string
	if s.Named {
		service = "--service " + s.Service.Name
	}
	return strings.TrimSpace(service + key.IdentityFlag(path))
}

// signingService returns the configured service.
func (s *Signer) signingService() (signing.Service, error) {
	if s.Service.Kind == site.SigningSSHService {
		return &service.Older{HTTP: service.NewHTTP(s.UserAgent), Endpoint: s.Service.Endpoint, Credentials: s.askCredentials}, nil
	}
	return s.CurrentService()
}

// CurrentService returns the current service, which can also list and revoke keys. The older one cannot.
func (s *Signer) CurrentService() (*service.Current, error) {
	http := service.NewHTTP(s.UserAgent)
	if s.IsUnattended() {
		if s.Service.Account == "" {
			return nil, fmt.Errorf("%s is set, but signing service %s has no account_endpoint in the configuration", apiKeyVar, s.Service.Name)
		}
		if strings.ContainsFunc(apiKey(), func(r rune) bool { return r <= ' ' || r > '~' }) {
			return nil, &problem.UsageError{Message: apiKeyVar + " contains spaces, line ends or other characters that no key has", Hint: "set it to the key alone, one word"}
		}
		return &service.Current{HTTP: http, Endpoint: s.Service.Endpoint, Minute: true,
			Login: &service.Account{HTTP: http, Endpoint: s.Service.Account, Key: apiKey()}}, nil
	}
	tokens, err := s.tokenStore()
	if err != nil {
		return nil, err
	}
	login := &service.OIDC{HTTP: http, Issuer: s.Service.Issuer, ClientID: s.Service.ClientID, Redirect: s.Service.Redirect, Tokens: tokens}
	switch {
	case s.Headless || s.Prompter != nil && !s.NoBrowser && !browser.CanOpen():
		login.Show = s.ShowDevice
	case s.Prompter != nil || s.NoBrowser:
		login.Browse = s.openSignInPage
	}
	return &service.Current{HTTP: http, Endpoint: s.Service.Endpoint, Login: login}, nil
}

// tokenStore returns where the service's tokens are kept.
func (s *Signer) tokenStore() (service.Tokens, error) {
	switch s.Service.Tokens {
	case site.TokensNone:
		return service.NoTokens{}, nil
	case site.TokensKeyring:
		return service.KeyringTokens{Service: s.Service.Name}, nil
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return nil, fmt.Errorf("find a place for tokens: %w", err)
	}
	return service.FileTokens{Path: filepath.Join(dir, "cscs", "token-"+s.Service.Name+".json"), Service: s.Service.Name}, nil
}

// openSignInPage opens the sign-in address in the browser. It prints the address too, since the browser may
// open where the user does not see it.
func (s *Signer) openSignInPage(ctx context.Context, address string) {
	if s.NoBrowser || !browser.CanOpen() {
		s.Say("sign in at: " + address)
		return
	}
	s.Say("sign in in the browser, or at: " + address)
	if err := browser.Open(ctx, browser.To(address)); err != nil && ctx.Err() == nil {
		s.Say(err.Error())
	}
}

// askCredentials asks for what the older service needs.
func (s *Signer) askCredentials(ctx context.Context) (user string, password []byte, otp string, err error) {
	if s.Prompter == nil {
		u, _ := url.Parse(s.Service.Endpoint) // checked when it was configured
		return "", nil, "", &service.SignInError{Host: u.Hostname(), Why: service.SignInTyped}
	}
	question := "User name at CSCS: "
	if s.User != "" {
		question = fmt.Sprintf("User name at CSCS [%s]: ", s.User)
	}
	if user, err = s.Prompter.ReadLine(ctx, question); err != nil {
		return "", nil, "", err
	}
	user = cmp.Or(user, s.User)
	if password, err = s.Prompter.ReadSecret(ctx, fmt.Sprintf("Password of %s: ", user)); err != nil {
		return "", nil, "", CancellationCause(ctx, err)
	}
	s.typedUser = user
	for {
		number, err := s.Prompter.ReadSecret(ctx, "Six-digit number (OTP): ")
		if otp = strings.Join(strings.Fields(string(number)), ""); err != nil || service.IsOTP(otp) { // phones split it
			return user, password, otp, CancellationCause(ctx, err)
		}
		s.Prompter.Tell("that is no six-digit number: once more")
	}
}
