package main

import (
	"cmp"
	"context"
	"crypto/subtle"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/alps-tunnel/cscs/internal/browser"
	"github.com/alps-tunnel/cscs/internal/key"
	"github.com/alps-tunnel/cscs/internal/key/service"
	"github.com/alps-tunnel/cscs/internal/key/signing"
	"github.com/alps-tunnel/cscs/internal/paths"
	"github.com/alps-tunnel/cscs/internal/problem"
	"github.com/alps-tunnel/cscs/internal/site"
	"github.com/alps-tunnel/cscs/internal/ui"
)

// A signer has keys signed by one service, for the user at the terminal.
type signer struct {
	io          *ui.IO
	by          site.Signing
	ask         *ui.Prompter                      // nil: no terminal to ask on
	headless    bool                              // sign in on another device
	noBrowser   bool                              // print the sign-in address, and open no browser
	user        string                            // the most likely user name
	agents      func(context.Context) []key.Agent // agents that may have the key
	typedUser   string                            // the user name that the user typed
	countedWith []string                          // services whose signings count towards the same limit
	named       bool                              // cscs key sign uses this service only with --service
}

// apiKeyVar is the environment variable of a service account's key; CSCS has named it.
const apiKeyVar = "CSCS_API_KEY"

// isUnattended reports whether the service signs without a user.
func (s *signer) isUnattended() bool {
	return s.by.Kind == site.SigningCSCS && apiKey() != ""
}

// apiKey returns the service account's key without the line end of the file that it came from; "": none.
func apiKey() string { return strings.TrimSpace(os.Getenv(apiKeyVar)) }

// sign has the key at path signed. It creates a missing key.
func (s *signer) sign(ctx context.Context, path string) (signing.Result, error) {
	return s.signAfter(ctx, path, nil)
}

// signAfter is sign for a caller that inspected the key before it asked the user. before is nil without a
// question.
func (s *signer) signAfter(ctx context.Context, path string, before *key.State) (signing.Result, error) {
	state, err := paths.StateDir()
	if err != nil {
		return signing.Result{}, err
	}
	svc, err := s.signingService()
	if err != nil {
		return signing.Result{}, err
	}
	r := signing.Request{
		Service: svc, Name: s.by.Name, Path: path, State: state, Comment: whoWhere(), Short: s.isUnattended(),
		Held: key.HeldBy(ctx, s.agents), Before: before,
		Waiting: func() { ui.Say(s.io, "another cscs is having this key signed; waiting for it") },
	}
	if s.ask != nil {
		r.Ask = passphrases{s.ask, "Enter passphrase for the new key '%s' (empty for none): "}
	}
	result, err := signing.Sign(ctx, r)
	if err != nil {
		return result, &problem.SigningError{Flags: s.signFlags(path), Err: err}
	}
	if whose := result.Cert.ValidPrincipals; s.typedUser != "" && !slices.Contains(whose, s.typedUser) {
		ui.Say(s.io, ui.Clean("the certificate is for "+strings.Join(whose, ", ")+", not for "+s.typedUser))
	}
	return result, nil
}

// signFlags returns the flags with which cscs key sign does the same.
func (s *signer) signFlags(path string) string {
	var service string
	if s.named {
		service = "--service " + s.by.Name
	}
	return strings.TrimSpace(service + key.IdentityFlag(path))
}

// signingService returns the configured service.
func (s *signer) signingService() (signing.Service, error) {
	if s.by.Kind == site.SigningSSHService {
		return &service.Older{HTTP: service.NewHTTP(userAgent()), Endpoint: s.by.Endpoint, Credentials: s.askCredentials}, nil
	}
	return s.currentService()
}

// currentService returns the current service, which can also list and revoke keys. The older one cannot.
func (s *signer) currentService() (*service.Current, error) {
	http := service.NewHTTP(userAgent())
	if s.isUnattended() {
		if s.by.Account == "" {
			return nil, fmt.Errorf("%s is set, but signing service %s has no account_endpoint in config.toml", apiKeyVar, s.by.Name)
		}
		if strings.ContainsFunc(apiKey(), func(r rune) bool { return r <= ' ' || r > '~' }) {
			return nil, &problem.UsageError{Message: apiKeyVar + " contains spaces, line ends or other characters that no key has", Hint: "set it to the key alone, one word"}
		}
		return &service.Current{HTTP: http, Endpoint: s.by.Endpoint, Minute: true,
			Login: &service.Account{HTTP: http, Endpoint: s.by.Account, Key: apiKey()}}, nil
	}
	tokens, err := s.tokenStore()
	if err != nil {
		return nil, err
	}
	login := &service.OIDC{HTTP: http, Issuer: s.by.Issuer, ClientID: s.by.ClientID, Redirect: s.by.Redirect, Tokens: tokens}
	switch {
	case s.headless || s.ask != nil && !s.noBrowser && !browser.CanOpen():
		login.Show = s.showDeviceCode
	case s.ask != nil || s.noBrowser:
		login.Browse = s.openSignInPage
	}
	return &service.Current{HTTP: http, Endpoint: s.by.Endpoint, Login: login}, nil
}

// tokenStore returns where the service's tokens are kept.
func (s *signer) tokenStore() (service.Tokens, error) {
	switch s.by.Tokens {
	case site.TokensNone:
		return service.NoTokens{}, nil
	case site.TokensKeyring:
		return service.KeyringTokens{}, nil
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return nil, fmt.Errorf("find a place for tokens: %w", err)
	}
	return service.FileTokens{Path: filepath.Join(dir, "cscs", "token-"+s.by.Name+".json")}, nil
}

// openSignInPage opens the sign-in address in the browser. It prints the address too, since the browser may
// open where the user does not see it.
func (s *signer) openSignInPage(ctx context.Context, address string) {
	if s.noBrowser || !browser.CanOpen() {
		ui.Say(s.io, "sign in at: "+address)
		return
	}
	ui.Say(s.io, "sign in in the browser, or at: "+address)
	if err := browser.Open(ctx, browser.To(address)); err != nil && ctx.Err() == nil {
		ui.Say(s.io, err.Error())
	}
}

// showDeviceCode prints how to sign in on another device.
func (s *signer) showDeviceCode(d service.Device) {
	ui.Say(s.io, "sign in from any device, at "+d.Address)
	ui.Say(s.io, "with the code "+d.Code)
	if s.io.ErrTTY && s.io.Unicode && d.Complete != "" {
		fmt.Fprint(s.io.Err, ui.QR(d.Complete, s.io.Width()-1))
	}
}

// askCredentials asks for what the older service needs.
func (s *signer) askCredentials(ctx context.Context) (user string, password []byte, otp string, err error) {
	if s.ask == nil {
		u, _ := url.Parse(s.by.Endpoint) // checked when it was configured
		return "", nil, "", &service.SignInError{Host: u.Hostname(), Why: service.SignInTyped}
	}
	question := "User name at CSCS: "
	if s.user != "" {
		question = fmt.Sprintf("User name at CSCS [%s]: ", ui.Clean(s.user))
	}
	if user, err = s.ask.ReadLine(ctx, question); err != nil {
		return "", nil, "", err
	}
	user = cmp.Or(user, s.user)
	if password, err = s.ask.ReadSecret(ctx, fmt.Sprintf("Password of %s: ", ui.Clean(user))); err != nil {
		return "", nil, "", cancellationCause(ctx, err)
	}
	s.typedUser = user
	for {
		number, err := s.ask.ReadSecret(ctx, "Six-digit number (OTP): ")
		if otp = strings.Join(strings.Fields(string(number)), ""); err != nil || service.IsOTP(otp) { // phones split it
			return user, password, otp, cancellationCause(ctx, err)
		}
		s.ask.Tell("that is no six-digit number: once more")
	}
}

// passphrases asks for passphrases of keys.
type passphrases struct {
	*ui.Prompter
	question string // asks for a new passphrase; %s is the key
}

// NewPassphrase implements signing.Prompter.
func (p passphrases) NewPassphrase(ctx context.Context, path string) ([]byte, error) {
	for {
		one, err := p.ReadSecret(ctx, fmt.Sprintf(p.question, path))
		if err != nil || len(one) == 0 {
			return nil, cancellationCause(ctx, err)
		}
		again, err := p.ReadSecret(ctx, "The same passphrase again: ")
		if err != nil {
			return nil, cancellationCause(ctx, err)
		}
		same := subtle.ConstantTimeCompare(one, again) == 1
		clear(again)
		if same {
			return one, nil
		}
		clear(one)
		p.Tell("they differ: once more")
	}
}

// userAgent returns the User-Agent for the services.
func userAgent() string {
	v := version
	if info, ok := debug.ReadBuildInfo(); ok && v == "" {
		v = info.Main.Version
	}
	return fmt.Sprintf("cscs/%s (%s; %s)", cmp.Or(strings.Trim(v, "()"), "devel"), runtime.GOOS, runtime.GOARCH)
}
