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

// passwords are the users' passwords. alice's has quotes, a space, a backslash and umlauts.
var passwords = map[string]string{
	"alice":   `pä"ss' wört\ $x`,
	"mallory": "open sesame",
}

// users are the provider's users. Their IDs are their names.
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

// store is the provider's storage. It allows its clients the device flow (RFC 8628) too.
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

// newProvider returns zitadel's provider with its own sign-in pages, below the path of CSCS's realm.
// It serves the root too, because the pages' forms lead there.
func newProvider() (http.Handler, error) {
	storage.RegisterClients(storage.NativeClient(clientID, "http://localhost:8765"))
	inner := exampleop.SetupServer(issuer, store{storage.NewStorage(users{})}, nil, false)
	mux := http.NewServeMux()
	mux.Handle(issuerPath+"/", http.StripPrefix(issuerPath, inner))
	mux.Handle("/", inner)
	return mux, nil
}

// tokenUser asks the provider for the user of an access token. It returns "" for an invalid token.
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
