package service

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"golang.org/x/oauth2"
)

// byDevice shows a code, with which the user signs in on any device (RFC 8628).
func (o *OIDC) byDevice(ctx context.Context, cfg *oauth2.Config) (*oauth2.Token, error) {
	host := hostOf(o.Issuer)
	const op = "give a code to sign in with"
	if cfg.Endpoint.DeviceAuthURL == "" {
		return nil, &AnswerError{Host: host, Op: op, What: "it has no way to sign in from another device"}
	}
	// Not by x/oauth2: the DeviceAuth of v0.38 panics if the answer is "null".
	var d struct {
		DeviceCode      string `json:"device_code"`
		UserCode        string `json:"user_code"`
		Address         string `json:"verification_uri"`
		AddressComplete string `json:"verification_uri_complete"`
		ExpiresIn       int64  `json:"expires_in"` // seconds
		Interval        int64  `json:"interval"`   // seconds
	}
	err := o.HTTP.do(ctx, call{
		op: op, method: http.MethodPost, url: cfg.Endpoint.DeviceAuthURL, okStatuses: []int{http.StatusOK},
		body: url.Values{"client_id": {o.ClientID}, "scope": {"openid"}},
	}, &d)
	if err != nil {
		return nil, err
	}
	if d.DeviceCode == "" || d.UserCode == "" || !isWeb(d.Address) || d.AddressComplete != "" && !isWeb(d.AddressComplete) {
		return nil, &AnswerError{Host: host, Op: op, What: "there is no code, or no address, in it"}
	}
	// RFC 8628, section 3.2: without an interval it is 5 s. The client waits for at most an hour.
	wait := &oauth2.DeviceAuthResponse{
		DeviceCode: d.DeviceCode, Interval: min(max(d.Interval, 0), 60),
		Expiry: time.Now().Add(time.Duration(min(max(d.ExpiresIn, 60), 3600)) * time.Second),
	}
	o.Show(Device{Address: sanitizeText(d.Address), Complete: sanitizeText(d.AddressComplete), Code: sanitizeText(d.UserCode), Until: wait.Expiry})
	token, err := cfg.DeviceAccessToken(ctx, wait)
	if err != nil {
		return nil, o.translateError(ctx, err)
	}
	return token, nil
}

// isWeb reports whether address is an absolute URL of http or https.
func isWeb(address string) bool {
	u, err := url.Parse(address)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != ""
}
