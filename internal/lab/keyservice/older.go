package main

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1" // RFC 6238 uses it
	"encoding/binary"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"time"

	"golang.org/x/crypto/ssh"
)

// otpSecret is the secret of the authenticator on every user's phone.
const otpSecret = "12345678901234567890"

// olderHandler serves the older generation. It makes the key itself, for a name, a password and a
// one-time password.
func (s *service) olderHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /api/v1/auth/ssh-keys/signed-key", s.signedKey)
	return mux
}

// signedKey makes a key and signs it, for a request with the right password and one-time password.
func (s *service) signedKey(w http.ResponseWriter, r *http.Request) {
	var ask struct {
		Username string `json:"username"`
		Password string `json:"password"`
		OTP      string `json:"otp"`
	}
	complain := func(status int, message string) {
		writeJSON(w, status, map[string]any{"payload": map[string]any{"message": message}})
	}
	if err := json.NewDecoder(r.Body).Decode(&ask); err != nil {
		complain(http.StatusBadRequest, "Invalid request")
		return
	}
	if want, ok := passwords[ask.Username]; !ok || want != ask.Password {
		complain(http.StatusUnauthorized, "Invalid username or password")
		return
	}
	if now := time.Now(); ask.OTP != computeTOTP(now) && ask.OTP != computeTOTP(now.Add(-30*time.Second)) {
		complain(http.StatusUnauthorized, "Invalid OTP")
		return
	}
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		complain(http.StatusInternalServerError, err.Error())
		return
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		complain(http.StatusInternalServerError, err.Error())
		return
	}
	cert, err := s.certifyKey(ask.Username, signer.PublicKey(), true)
	if err != nil {
		complain(http.StatusInternalServerError, err.Error())
		return
	}
	if cert == nil {
		complain(http.StatusBadRequest, "You have reached the maximum number of signed keys for today")
		return
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		complain(http.StatusInternalServerError, err.Error())
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{
		"public": string(ssh.MarshalAuthorizedKey(cert)), "private": string(pem.EncodeToMemory(block)),
	})
}

// computeTOTP returns the number that the phone shows (RFC 6238, six digits, 30 s, SHA-1).
func computeTOTP(at time.Time) string {
	var counter [8]byte
	binary.BigEndian.PutUint64(counter[:], uint64(at.Unix()/30))
	mac := hmac.New(sha1.New, []byte(otpSecret))
	mac.Write(counter[:])
	sum := mac.Sum(nil)
	offset := sum[len(sum)-1] & 15
	return fmt.Sprintf("%06d", binary.BigEndian.Uint32(sum[offset:])&0x7fffffff%1000000)
}
