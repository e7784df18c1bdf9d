package main

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"

	"github.com/zitadel/oidc/v3/example/server/exampleop"
	"github.com/zitadel/oidc/v3/example/server/storage"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// clientID is the public client of CSCS's own command-line tool.
const clientID = "authx-cli"

// Passwords are as hard as people make them: quotes, a space, a backslash, umlauts.
var passwords = map[string]string{
	"alice":   `pä"ss' wört\ $x`,
	"mallory": "open sesame",
}

// users is who there is; their IDs are their names.
type users struct{}

func (users) GetUserByID(id string) *storage.User {
	password, ok := passwords[id]
	if !ok {
		return nil
	}
	return &storage.User{ID: id, Username: id, Password: password}
}

func (u users) GetUserByUsername(name string) *storage.User { return u.GetUserByID(name) }
func (users) ExampleClientID() string                       { return storage.ServiceUserID }

// store is the provider's memory; its clients may use the device flow (RFC 8628) too.
type store struct{ *storage.Storage }

func (s store) GetClientByClientID(ctx context.Context, id string) (op.Client, error) {
	c, err := s.Storage.GetClientByClientID(ctx, id)
	if err != nil {
		return nil, err
	}
	return deviceClient{c}, nil
}

type deviceClient struct{ op.Client }

func (d deviceClient) GrantTypes() []oidc.GrantType {
	return append(d.Client.GrantTypes(), oidc.GrantTypeDeviceCode)
}

// newProvider is zitadel's provider with its own pages for signing in, below the path of
// CSCS's realm. The pages' forms lead to the root, so it is there as well.
func newProvider() (http.Handler, error) {
	storage.RegisterClients(storage.NativeClient(clientID, "http://localhost:8765"))
	inner := exampleop.SetupServer(issuer, store{storage.NewStorage(users{})}, nil, false)
	mux := http.NewServeMux()
	mux.Handle(issuerPath+"/", http.StripPrefix(issuerPath, inner))
	mux.Handle("/", inner)
	return mux, nil
}

// tokenUser is whom an access token is for, by the provider itself; "" for nobody.
func (s *service) tokenUser(r *http.Request) string {
	ask := httptest.NewRequestWithContext(r.Context(), http.MethodGet, issuer+"/userinfo", nil)
	ask.Header.Set("Authorization", r.Header.Get("Authorization"))
	answer := httptest.NewRecorder()
	s.provider.ServeHTTP(answer, ask)
	var info struct {
		Sub string `json:"sub"`
	}
	if answer.Code != http.StatusOK || json.Unmarshal(answer.Body.Bytes(), &info) != nil {
		return ""
	}
	return info.Sub
}
