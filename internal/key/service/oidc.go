package service

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/oauth2"
)

// OIDC signs a user in at an OpenID provider. It uses the authorization code with PKCE in the browser
// (RFC 8252, RFC 7636), or a code that the user types on another device (RFC 8628).
type OIDC struct {
	HTTP     *HTTP
	Issuer   string
	ClientID string
	Redirect string // http://localhost:PORT, as registered with the provider
	Tokens   Tokens // where tokens are stored

	// Browse opens an address for sign-in in a browser on this machine. It returns when ctx ends at the
	// latest. If it is nil, Show is used.
	Browse func(ctx context.Context, address string)
	// Show shows the user an address and the code to type there. It is nil if no user is present.
	Show func(Device)
}

// A Device is what a user needs to sign in on another device.
type Device struct {
	Address  string // of the page for the code
	Complete string // the same with the code, for a QR code; may be empty
	Code     string
	Until    time.Time // when the code expires
}

// expiryMargin is the remaining time below which a token is not used.
const expiryMargin = 20 * time.Second

// Token implements Login.
func (o *OIDC) Token(ctx context.Context, anew bool) (string, bool, error) {
	kept := o.Tokens.load(o.Issuer, o.ClientID)
	if kept != nil && !anew && kept.AccessToken != "" && time.Until(kept.Expiry) > expiryMargin {
		return kept.AccessToken, true, nil
	}
	ctx = context.WithValue(ctx, oauth2.HTTPClient, o.HTTP.forOAuth2())
	cfg, err := o.discoverEndpoints(ctx)
	if err != nil {
		return "", false, err
	}
	var dropped error // why the stored token was refused
	if kept != nil && kept.RefreshToken != "" && !anew {
		fresh, err := cfg.TokenSource(ctx, &oauth2.Token{RefreshToken: kept.RefreshToken}).Token()
		if err == nil && isValidToken(fresh.AccessToken) {
			o.Tokens.save(o.Issuer, o.ClientID, fresh)
			return fresh.AccessToken, true, nil
		}
		var refused *oauth2.RetrieveError
		if err != nil && !errors.As(err, &refused) {
			return "", false, o.translateError(ctx, err)
		}
		// The provider has ended the session: sign in again.
		if refused != nil {
			dropped = &RefusedError{Host: hostOf(o.Issuer), Op: signInOp, Status: refused.Response.StatusCode, Message: sanitizeText(refused.ErrorDescription)}
		}
	}
	o.Tokens.forget(o.Issuer, o.ClientID)
	var fresh *oauth2.Token
	switch {
	case o.Browse != nil:
		fresh, err = o.byBrowser(ctx, cfg)
	case o.Show != nil:
		fresh, err = o.byDevice(ctx, cfg)
	case dropped != nil:
		return "", false, &SignInError{Host: hostOf(o.Issuer), Why: SignInDropped, Err: dropped}
	default:
		return "", false, &SignInError{Host: hostOf(o.Issuer), Why: SignInNobody}
	}
	if err != nil {
		return "", false, err
	}
	if !isValidToken(fresh.AccessToken) {
		return "", false, &AnswerError{Host: hostOf(o.Issuer), Op: signInOp, What: "there is no token in it"}
	}
	o.Tokens.save(o.Issuer, o.ClientID, fresh)
	return fresh.AccessToken, false, nil
}

const signInOp = "sign you in"

// providerMetadata is the part of the provider's metadata that we need (OpenID Connect Discovery 1.0, section 3).
type providerMetadata struct {
	Issuer string `json:"issuer"`
	Auth   string `json:"authorization_endpoint"`
	Token  string `json:"token_endpoint"`
	Device string `json:"device_authorization_endpoint"`
}

// discoverEndpoints asks the provider for its endpoints.
func (o *OIDC) discoverEndpoints(ctx context.Context) (*oauth2.Config, error) {
	var d providerMetadata
	err := o.HTTP.do(ctx, call{
		op: "tell about itself", method: http.MethodGet, okStatuses: []int{http.StatusOK},
		url: strings.TrimSuffix(o.Issuer, "/") + "/.well-known/openid-configuration",
	}, &d)
	if err != nil {
		return nil, err
	}
	if what := d.findProblem(o.Issuer); what != "" {
		return nil, &AnswerError{Host: hostOf(o.Issuer), Op: "tell about itself", What: what}
	}
	return &oauth2.Config{
		ClientID: o.ClientID, RedirectURL: o.Redirect, Scopes: []string{"openid"},
		Endpoint: oauth2.Endpoint{AuthURL: d.Auth, TokenURL: d.Token, DeviceAuthURL: d.Device, AuthStyle: oauth2.AuthStyleInParams},
	}, nil
}

// findProblem returns what is wrong with the metadata, or "". The issuer must be the configured one,
// and the endpoints must have its scheme.
func (d providerMetadata) findProblem(issuer string) string {
	if strings.TrimSuffix(d.Issuer, "/") != strings.TrimSuffix(issuer, "/") {
		return "it is of another issuer"
	}
	at, err := url.Parse(issuer)
	if err != nil {
		return "the issuer is no address"
	}
	for _, address := range []string{d.Auth, d.Token, d.Device} {
		u, err := url.Parse(address)
		if address == "" && address == d.Device {
			continue // optional
		}
		if err != nil || u.Host == "" || u.User != nil || u.Scheme != at.Scheme {
			return "it leads to an address that is none, or not safe"
		}
	}
	return ""
}

// translateError returns the error for a sign-in that failed in oauth2. It drops oauth2's own text,
// which contains the provider's whole answer.
func (o *OIDC) translateError(ctx context.Context, err error) error {
	host := hostOf(o.Issuer)
	var refused *oauth2.RetrieveError
	var network *url.Error
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, context.DeadlineExceeded) && !errors.As(err, &network):
		return &SignInError{Host: host, Why: SignInExpired}
	case errors.As(err, &refused):
		switch refused.ErrorCode {
		case "access_denied":
			return &SignInError{Host: host, Why: SignInDenied}
		case "expired_token":
			return &SignInError{Host: host, Why: SignInExpired}
		case "":
			return newStatusError(host, signInOp, refused.Response.StatusCode, refused.Response.Header, nil)
		}
		return &SignInError{Host: host, Why: SignInFailed, Err: errors.New(sanitizeText(strings.TrimSpace(refused.ErrorCode + " " + refused.ErrorDescription)))}
	case errors.As(err, &network):
		return newDownError(ctx, host, signInOp, err)
	}
	return &AnswerError{Host: host, Op: signInOp, What: "there is no token in it"}
}
