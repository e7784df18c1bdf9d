package connect

import (
	"errors"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/alps-tunnel/cscs/forward/chain"
	"github.com/alps-tunnel/cscs/internal/key"
	"github.com/alps-tunnel/cscs/internal/problem"
	"github.com/alps-tunnel/cscs/session"
)

// TestRefusedWhileItEnds: what a refused key comes from takes nothing away from the job that
// may be left.
func TestRefusedWhileItEnds(t *testing.T) {
	cert := &ssh.Certificate{ValidBefore: uint64(time.Now().Add(-time.Hour).Unix())}
	r := &Route{keys: []*key.Identity{{Path: "k", CertPath: "k-cert.pub", Cert: cert}}}
	err := r.RefusalCause(&session.TeardownError{Name: "cscs-x", Cluster: "daint", Host: "daint", Err: &chain.AuthError{Hop: "ela", User: "alice"}})
	var expired *key.ExpiredError
	if p := problem.Of(err); p.Code != problem.Remains || !errors.As(err, &expired) {
		t.Errorf("%+v", p)
	}
}
