// Package master carries a chain's first link over the connection of an OpenSSH that is logged in
// at the hop: the user's ControlMaster (ssh_config(5)).
//
// In place of the hop the chain has an SSH server in this process, which hands each command and
// each connection to that ssh, by the requests that OpenSSH's own clients make (PROTOCOL.mux). So a
// chain needs to know nothing of it. No key is offered and no second factor is asked for: that ssh
// has logged in, and has verified the host's key by its own configuration.
//
// OpenSSH's proxy mode, for which x/crypto has a client (ssh.NewControlClientConn), is not used: up to
// OpenSSH 10.6 the ssh that owns the socket ends, with all that runs over it, when a client leaves of
// which the server has refused any channel ("chan_send_close2: no remote_id").
package master
