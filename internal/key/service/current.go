package service

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"golang.org/x/crypto/ssh"
)

// A Login gets access tokens.
type Login interface {
	// Token returns an access token; cached says that it is one of an earlier sign-in, which
	// the service may not take any more. With anew, it is none of those.
	Token(ctx context.Context, anew bool) (token string, cached bool, err error)
}

// Current is CSCS's key service: it signs keys of ours.
type Current struct {
	HTTP     *HTTP
	Endpoint string
	Login    Login
	Minute   bool // certificates for a minute, all that service accounts get
}

// MakesKeys implements signing.Service.
func (c *Current) MakesKeys() bool { return false }

// Certify implements signing.Service.
func (c *Current) Certify(ctx context.Context, pub ssh.PublicKey) (certificate, private []byte, err error) {
	var answer struct {
		SSHKey wireKey `json:"sshKey"`
	}
	duration := "1d"
	if c.Minute {
		duration = "1min"
	}
	err = c.callWithToken(ctx, call{
		op: "sign the key", method: http.MethodPost, url: c.Endpoint + "/sign", okStatuses: []int{http.StatusCreated, http.StatusOK},
		body: map[string]string{"publicKey": string(ssh.MarshalAuthorizedKey(pub)), "duration": duration},
	}, &answer)
	return []byte(answer.SSHKey.PublicKey), nil, err
}

// wireKey is a certificate as the service tells of it.
type wireKey struct {
	PublicKey  string     `json:"publicKey"`
	ExpireTime time.Time  `json:"expireTime"`
	Serial     serial     `json:"serialNumber"`
	Revoked    *time.Time `json:"revocationTime"`
}

// A serial is a string, since JavaScript's numbers are too small; a number is understood
// as well.
type serial string

func (s *serial) UnmarshalJSON(data []byte) error {
	text := string(data)
	if unquoted, err := strconv.Unquote(text); err == nil {
		text = unquoted
	}
	if _, err := strconv.ParseUint(text, 10, 64); err != nil {
		return errors.New("a serial number that is none")
	}
	*s = serial(text)
	return nil
}

// An Issued is a certificate that the service has given.
type Issued struct {
	Serial  string
	Until   time.Time
	Revoked time.Time // zero: it was not
}

// List tells of the user's certificates; without all, only of those that are good.
func (c *Current) List(ctx context.Context, all bool) ([]Issued, error) {
	var answer struct {
		SSHKeys *[]wireKey `json:"sshKeys"`
	}
	which := strconv.FormatBool(all)
	err := c.callWithToken(ctx, call{
		op: "list keys", method: http.MethodGet, okStatuses: []int{http.StatusOK},
		url: c.Endpoint + "?include_revoked=" + which + "&include_expired=" + which,
	}, &answer)
	if err != nil {
		return nil, err
	}
	if answer.SSHKeys == nil {
		return nil, &AnswerError{Host: hostOf(c.Endpoint), Op: "list keys", What: "there is no list in it"}
	}
	var out []Issued
	for _, k := range *answer.SSHKeys {
		i := Issued{Serial: string(k.Serial), Until: k.ExpireTime}
		if k.Revoked != nil {
			i.Revoked = *k.Revoked
		}
		out = append(out, i)
	}
	return out, nil
}

// Revoke takes a certificate back.
func (c *Current) Revoke(ctx context.Context, serial string) error {
	var answer struct {
		Revoked bool   `json:"revoked"`
		Message string `json:"message"`
	}
	err := c.callWithToken(ctx, call{
		op: "revoke key " + serial, method: http.MethodPut, url: c.Endpoint + "/revoke", okStatuses: []int{http.StatusOK},
		body: map[string]string{"serialNumber": serial, "reason": "revoked by its user with cscs key revoke"},
	}, &answer)
	if err == nil && !answer.Revoked {
		err = &RefusedError{Host: hostOf(c.Endpoint), Op: "revoke key " + serial, Status: http.StatusOK, Message: sanitizeText(answer.Message)}
	}
	return err
}

// callWithToken makes a call with an access token. One of an earlier sign-in that is not taken is
// replaced once, by signing in anew.
func (c *Current) callWithToken(ctx context.Context, what call, answer any) error {
	token, cached, err := c.Login.Token(ctx, false)
	if err != nil {
		return err
	}
	what.header = http.Header{"Authorization": {"Bearer " + token}}
	err = c.HTTP.do(ctx, what, answer)
	var refused *RefusedError
	if !cached || !errors.As(err, &refused) || refused.Status != http.StatusUnauthorized {
		return err
	}
	if token, _, err = c.Login.Token(ctx, true); err != nil {
		var alone *SignInError
		if errors.As(err, &alone) && alone.Why == SignInNobody { // that is but the half of it
			err = &SignInError{Host: alone.Host, Why: SignInDropped, Err: refused}
		}
		return err
	}
	what.header.Set("Authorization", "Bearer "+token)
	return c.HTTP.do(ctx, what, answer)
}
