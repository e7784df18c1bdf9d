package main

import (
	"crypto/rand"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"golang.org/x/crypto/ssh"
)

// apiKey is the API key of alice's service account.
const apiKey = "lab-api-key-of-alice"

const keysPath = "/api-ssh-service/api/v1/ssh-keys"

// keyJSON is a certificate in the service's answers.
type keyJSON struct {
	PublicKey      string `json:"publicKey"`
	ExpireTime     string `json:"expireTime"`
	SerialNumber   string `json:"serialNumber"`
	RevocationTime string `json:"revocationTime,omitempty"`
}

func (i *issued) toJSON() keyJSON {
	w := keyJSON{
		PublicKey:    string(ssh.MarshalAuthorizedKey(i.cert)),
		ExpireTime:   i.expiryTime().UTC().Format(time.RFC3339),
		SerialNumber: strconv.FormatUint(i.cert.Serial, 10),
	}
	if !i.revoked.IsZero() {
		w.RevocationTime = i.revoked.UTC().Format(time.RFC3339)
	}
	return w
}

// gatewayHandler serves the current generation.
func (s *service) gatewayHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /api-service-account/api/v1/auth/token", s.issueAccountToken)
	mux.HandleFunc("POST "+keysPath+"/sign", s.requireToken(s.signKey))
	mux.HandleFunc("GET "+keysPath, s.requireToken(s.listKeys))
	mux.HandleFunc("PUT "+keysPath+"/revoke", s.requireToken(s.revokeKey))
	return mux
}

// requireToken calls do for a request with a valid access token, and refuses other requests. person
// is false for a service account.
func (s *service) requireToken(do func(w http.ResponseWriter, r *http.Request, user string, person bool)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		user := s.accounts[r.Header.Get("Authorization")]
		s.mu.Unlock()
		person := user == ""
		if person {
			user = s.tokenUser(r)
		}
		if user == "" {
			writeRefusal(w, http.StatusUnauthorized, "Unauthorized")
			return
		}
		do(w, r, user, person)
	}
}

// issueAccountToken issues an access token for a service account.
func (s *service) issueAccountToken(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("X-API-Key") != apiKey {
		writeRefusal(w, http.StatusUnauthorized, "Invalid API key")
		return
	}
	token := rand.Text()
	s.mu.Lock()
	if s.accounts == nil {
		s.accounts = map[string]string{}
	}
	s.accounts["Bearer "+token] = "alice"
	s.mu.Unlock()
	writeJSON(w, http.StatusOK, map[string]any{"access_token": token, "expires_in": 300, "id_token": ""})
}

// signKey signs a key. A service account gets a certificate for a minute only.
func (s *service) signKey(w http.ResponseWriter, r *http.Request, user string, person bool) {
	var ask struct {
		PublicKey string `json:"publicKey"`
		Duration  string `json:"duration"`
	}
	if err := json.NewDecoder(r.Body).Decode(&ask); err != nil {
		writeRefusal(w, http.StatusBadRequest, "Invalid request body")
		return
	}
	key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(ask.PublicKey))
	if err != nil {
		writeRefusal(w, http.StatusBadRequest, "Invalid public key")
		return
	}
	day := ask.Duration == "1d"
	if day && !person {
		writeRefusal(w, http.StatusForbidden, "Service accounts can only request keys with a validity of 1min")
		return
	}
	cert, err := s.certifyKey(user, key, day)
	switch {
	case err != nil:
		writeRefusal(w, http.StatusInternalServerError, err.Error())
	case cert == nil:
		writeRefusal(w, http.StatusBadRequest, "Maximum number of active SSH keys reached")
	default:
		writeJSON(w, http.StatusCreated, map[string]any{"sshKey": (&issued{cert: cert}).toJSON()})
	}
}

func (s *service) listKeys(w http.ResponseWriter, r *http.Request, user string, _ bool) {
	keys := []keyJSON{}
	for _, i := range s.userCertificates(user) {
		if !i.revoked.IsZero() && r.URL.Query().Get("include_revoked") != "true" ||
			time.Now().After(i.expiryTime()) && r.URL.Query().Get("include_expired") != "true" {
			continue
		}
		keys = append(keys, i.toJSON())
	}
	writeJSON(w, http.StatusOK, map[string]any{"sshKeys": keys})
}

func (s *service) revokeKey(w http.ResponseWriter, r *http.Request, user string, _ bool) {
	var ask struct {
		SerialNumber string `json:"serialNumber"`
		Reason       string `json:"reason"`
	}
	if err := json.NewDecoder(r.Body).Decode(&ask); err != nil {
		writeRefusal(w, http.StatusBadRequest, "Invalid request body")
		return
	}
	for _, i := range s.userCertificates(user) {
		if strconv.FormatUint(i.cert.Serial, 10) == ask.SerialNumber {
			s.mu.Lock()
			i.revoked = time.Now()
			s.mu.Unlock()
			writeJSON(w, http.StatusOK, map[string]any{"revoked": true, "message": "SSH key revoked"})
			return
		}
	}
	writeRefusal(w, http.StatusNotFound, "SSH key not found")
}

func writeRefusal(w http.ResponseWriter, status int, message string) {
	writeJSON(w, status, map[string]any{"message": message})
}

func writeJSON(w http.ResponseWriter, status int, answer any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(answer) // fails if the client has gone
}
