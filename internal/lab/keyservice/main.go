// Command keyservice is the lab's key service: CSCS's current one behind a real OpenID provider, and
// the older one, with TLS from the lab's own authority. It signs with the authority that the lab's
// sshd trusts.
//
//	keyservice serve DIR USER_CA     until it is killed
//
// DIR holds its authority's certificate (ca.pem) and the socket through which a test controls it
// (control.go).
package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/crypto/ssh"
)

// The names of CSCS's own services. The lab's laptop resolves them too, so tests use the addresses
// that are built into cscs.
const (
	issuerHost  = "auth.cscs.ch"
	issuer      = "https://" + issuerHost + issuerPath
	issuerPath  = "/auth/realms/cscs"
	gatewayHost = "authx-gateway.svc.cscs.ch"
	olderHost   = "sshservice.cscs.ch"
)

func main() {
	if len(os.Args) != 4 || os.Args[1] != "serve" {
		fmt.Fprintln(os.Stderr, "usage: keyservice serve DIR USER_CA")
		os.Exit(2)
	}
	if err := runService(os.Args[2], os.Args[3]); err != nil {
		fmt.Fprintln(os.Stderr, "keyservice:", err)
		os.Exit(1)
	}
}

// runService serves the control socket and port 443 until one of the two fails.
func runService(dir, userCA string) error {
	pem, err := os.ReadFile(userCA)
	if err != nil {
		return err
	}
	authority, err := ssh.ParsePrivateKey(pem)
	if err != nil {
		return fmt.Errorf("read %s: %w", userCA, err)
	}
	cert, err := makeCertificate(dir, issuerHost, gatewayHost, olderHost)
	if err != nil {
		return err
	}
	s := &service{authority: authority}
	s.applySettings(settings{})
	provider, err := newProvider()
	if err != nil {
		return err
	}
	s.provider = provider

	socket := filepath.Join(dir, "control")
	if err := os.Remove(socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	control, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	public, err := net.Listen("tcp", ":443")
	if err != nil {
		return err
	}
	ended := make(chan error, 2)
	go func() {
		ended <- (&http.Server{Handler: s.controlHandler(), ReadHeaderTimeout: 10 * time.Second}).Serve(control)
	}()
	go func() {
		server := &http.Server{
			Handler:           s.publicHandler(),
			ReadHeaderTimeout: 10 * time.Second,
			ErrorLog:          slog.NewLogLogger(slog.DiscardHandler, slog.LevelError), // also of failed handshakes
			TLSConfig:         &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12},
			BaseContext:       func(net.Listener) context.Context { return context.Background() },
		}
		ended <- server.ServeTLS(public, "", "")
	}()
	return <-ended
}
