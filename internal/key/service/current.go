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
	// Token returns an access token. cached reports that it is from an earlier sign-in, so that the
	// service may refuse it. With anew, Token uses no earlier one.
	Token(ctx context.Context, anew bool) (token string, cached bool, err error)
}

// Current is CSCS's current key service. It signs keys of the user's.
type Current struct {
	HTTP     *HTTP
	Endpoint string
	Login    Login
	Minute   bool // certificates for a minute, the only ones for service accounts
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

// wireKey is a certificate in an answer of the service.
type wireKey struct {
	PublicKey  string     `json:"publicKey"`
	ExpireTime time.Time  `json:"expireTime"`
	Serial     serial     `json:"serialNumber"`
	Revoked    *time.Time `json:"revocationTime"`
}

// A serial is a string in JSON, since JavaScript's numbers are too small. A number is accepted too.
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

// An Issued is a certificate that the service has issued.
type Issued struct {
	Serial  string
	Until   time.Time
	Revoked time.Time // zero: not revoked
}

// List returns the user's certificates; without all, only the valid ones.
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

// Revoke revokes a certificate.
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

// callWithToken makes a call with an access token. If the service refuses a token of an earlier
// sign-in, callWithToken signs in again and retries once.
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
		if errors.As(err, &alone) && alone.Why == SignInNobody { // that alone does not say why
			err = &SignInError{Host: alone.Host, Why: SignInDropped, Err: refused}
		}
		return err
	}
	what.header.Set("Authorization", "Bearer "+token)
	return c.HTTP.do(ctx, what, answer)
}
