package service

import (
	"fmt"
	"time"
)

// A DownError reports that a service cannot be reached or does not work.
type DownError struct {
	Host string
	Op   string // the request, in words
	Err  error
}

func (e *DownError) Error() string { return fmt.Sprintf("ask %s to %s: %v", e.Host, e.Op, e.Err) }
func (e *DownError) Unwrap() error { return e.Err }

// An AnswerError reports an answer that is not the service's, but a proxy's, for example.
type AnswerError struct {
	Host string
	Op   string
	What string // what is wrong with the answer
}

func (e *AnswerError) Error() string {
	return fmt.Sprintf("ask %s to %s: cscs does not understand its answer: %s", e.Host, e.Op, e.What)
}

// A RefusedError reports that a service refuses a request.
type RefusedError struct {
	Host    string
	Op      string
	Status  int    // of HTTP; mostly 4xx
	Message string // the service's own, or empty
}

func (e *RefusedError) Error() string {
	s := fmt.Sprintf("%s refuses to %s (status %d)", e.Host, e.Op, e.Status)
	if e.Message != "" {
		s += ": " + e.Message
	}
	return s
}

// A BusyError reports that a service got too many requests.
type BusyError struct {
	Host  string
	Op    string
	After time.Duration // when to retry; 0: the service does not say
}

func (e *BusyError) Error() string { return fmt.Sprintf("%s was asked too often to %s", e.Host, e.Op) }

// A QuotaError reports that the user has used up the day's keys.
type QuotaError struct {
	Host    string
	Message string
}

func (e *QuotaError) Error() string {
	return fmt.Sprintf("%s signs no more keys today: %s", e.Host, e.Message)
}

// A SignInError reports that the user could not be signed in.
type SignInError struct {
	Host string
	Why  SignInReason
	Err  error // may be nil
}

// A SignInReason is the reason of a SignInError.
type SignInReason string

// The reasons.
const (
	SignInDenied  SignInReason = "it was denied"
	SignInExpired SignInReason = "it took too long"
	SignInPort    SignInReason = "the port that the browser is sent back to is taken"
	SignInNobody  SignInReason = "there is no terminal to sign in at"
	SignInTyped   SignInReason = "there is no terminal to ask for name, password and number on"
	SignInDropped SignInReason = "the sign-in that was stored here was refused and is dropped; there is no terminal to sign in at again"
	SignInFailed  SignInReason = "it failed"
)

func (e *SignInError) Error() string {
	s := fmt.Sprintf("sign in at %s: %s", e.Host, e.Why)
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

func (e *SignInError) Unwrap() error { return e.Err }

// An InputError reports input of the user that cannot be right.
type InputError struct{ Message string }

func (e *InputError) Error() string { return e.Message }
