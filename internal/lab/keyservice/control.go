package main

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"time"
)

// settings are what a test can change, on the socket DIR/control:
//
//	POST /set       settings as JSON; fields left out get their initial values
//	GET  /requests  the requests since then
//	GET  /otp       the number that a phone shows now
//	GET  /password  alice's password
type settings struct {
	Fault    string `json:"fault"`    // see injectFault and certifyKey
	Validity int    `json:"validity"` // of a certificate, in seconds; 0: the default
	Used     int    `json:"used"`     // of today's five certificates, from the user's other machines
}

// request is a received request, without its secrets.
type request struct {
	Host   string `json:"host"`
	Method string `json:"method"`
	Path   string `json:"path"`
	Agent  string `json:"agent"`
	Client string `json:"client"` // X-Client-Type
}

// controlHandler serves the control socket; see settings.
func (s *service) controlHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /set", func(w http.ResponseWriter, r *http.Request) {
		var want settings
		if err := json.NewDecoder(r.Body).Decode(&want); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		s.applySettings(want)
	})
	mux.HandleFunc("GET /requests", func(w http.ResponseWriter, _ *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		_ = json.NewEncoder(w).Encode(s.requests)
	})
	mux.HandleFunc("GET /otp", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(computeTOTP(time.Now()))) })
	mux.HandleFunc("GET /password", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(passwords["alice"])) })
	return mux
}

// applySettings sets the settings and forgets issued certificates and requests.
func (s *service) applySettings(to settings) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settings, s.issued, s.requests = to, nil, []request{}
}

func (s *service) recordRequest(r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, request{
		Host: r.Host, Method: r.Method, Path: r.URL.Path, Agent: r.UserAgent(), Client: r.Header.Get("X-Client-Type"),
	})
}

// injectFault answers a request for a certificate as a faulty service does. It reports whether it has
// answered.
func (s *service) injectFault(w http.ResponseWriter, r *http.Request) bool {
	s.mu.Lock()
	fault := s.settings.Fault
	s.mu.Unlock()
	if !strings.HasSuffix(r.URL.Path, "/sign") && !strings.HasSuffix(r.URL.Path, "/signed-key") {
		return false
	}
	switch fault {
	case "slow":
		_, _ = io.Copy(io.Discard, r.Body) // otherwise the server does not see that the client leaves
		<-r.Context().Done()               // until the client gives up
	case "nonsense":
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte("<html><body>Welcome to the captive portal</body></html>"))
	case "no-certificate":
		writeJSON(w, http.StatusCreated, map[string]any{"sshKey": map[string]any{"publicKey": "ssh-ed25519-cert-v01@openssh.com AAAA"}, "public": "x", "private": "y"})
	case "flood":
		for range 64 {
			if _, err := w.Write(make([]byte, 1<<20)); err != nil {
				break
			}
		}
	case "half":
		w.Header().Set("Content-Length", "4000")
		_, _ = w.Write([]byte(`{"sshKey":{"publicKey":"ssh-ed25519-cert-v01@openssh.com AAAAIHNza`))
		if f, ok := w.(http.Flusher); ok {
			f.Flush()
		}
		panic(http.ErrAbortHandler)
	case "401":
		writeRefusal(w, http.StatusUnauthorized, "Unauthorized")
	case "429":
		w.Header().Set("Retry-After", "30")
		writeRefusal(w, http.StatusTooManyRequests, "Too many requests")
	case "503":
		http.Error(w, "Service Unavailable", http.StatusServiceUnavailable)
	default:
		return false
	}
	return true
}
