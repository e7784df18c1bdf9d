package service

import (
	"context"
	"net/http"
	"regexp"

	"golang.org/x/crypto/ssh"
)

// Older is CSCS's former service (sshservice). For a user name, a password and a one-time password it
// makes a key and certifies it.
type Older struct {
	HTTP     *HTTP
	Endpoint string
	// Credentials asks the user. Certify clears the password.
	Credentials func(ctx context.Context) (user string, password []byte, otp string, err error)
}

// MakesKeys implements signing.Service.
func (o *Older) MakesKeys() bool { return true }

var (
	userName = regexp.MustCompile(`^[a-z_][a-z0-9_-]{1,31}$`)
	sixDigit = regexp.MustCompile(`^[0-9]{6}$`)
)

// IsOTP reports whether s may be a one-time password.
func IsOTP(s string) bool { return sixDigit.MatchString(s) }

// Certify implements signing.Service.
func (o *Older) Certify(ctx context.Context, _ ssh.PublicKey) (certificate, private []byte, err error) {
	user, password, otp, err := o.Credentials(ctx)
	defer clear(password)
	switch {
	case err != nil:
		return nil, nil, err
	case !userName.MatchString(user):
		return nil, nil, &InputError{Message: "that is no user name of CSCS's"}
	case !IsOTP(otp):
		return nil, nil, &InputError{Message: "a one-time password is a six-digit number"}
	}
	var answer struct {
		Public  string `json:"public"`
		Private string `json:"private"`
	}
	const op = "make a signed key"
	err = o.HTTP.do(ctx, call{
		op: op, method: http.MethodPost, url: o.Endpoint, okStatuses: []int{http.StatusOK, http.StatusCreated},
		body: map[string]string{"username": user, "password": string(password), "otp": otp},
	}, &answer)
	if err != nil {
		return nil, nil, err
	}
	if answer.Public == "" || answer.Private == "" {
		return nil, nil, &AnswerError{Host: hostOf(o.Endpoint), Op: op, What: "there is no key in it"}
	}
	return []byte(answer.Public), []byte(answer.Private), nil
}
