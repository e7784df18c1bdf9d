package service

import (
	"context"
	"net/http"
	"net/url"
	"strings"
)

// Account signs a service account in: a program with an API key in its environment.
type Account struct {
	HTTP     *HTTP
	Endpoint string
	Key      string
}

// Token implements Login. It keeps no tokens of service accounts.
func (a *Account) Token(ctx context.Context, _ bool) (string, bool, error) {
	var answer struct {
		Token string `json:"access_token"`
	}
	err := a.HTTP.do(ctx, call{
		op: "sign the service account in", method: http.MethodPost, url: a.Endpoint, okStatuses: []int{http.StatusOK, http.StatusCreated},
		header: http.Header{"X-Api-Key": {a.Key}},
	}, &answer)
	if err == nil && !isValidToken(answer.Token) {
		err = &AnswerError{Host: hostOf(a.Endpoint), Op: "sign the service account in", What: "there is no token in it"}
	}
	return answer.Token, false, err
}

// isValidToken reports whether a token can be sent in a header (RFC 6750, section 2.1).
func isValidToken(token string) bool {
	return token != "" && !strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' })
}

func hostOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return address
	}
	return u.Hostname()
}
