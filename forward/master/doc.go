// Package master carries the first hop of a chain over the user's own OpenSSH ControlMaster
// (ssh_config(5)).
//
// In place of the hop, the chain has an SSH server in this process. The server passes each command
// and each connection to that ssh, with the requests of OpenSSH's own clients (PROTOCOL.mux). So
// forward/chain needs no special case. The client offers no key and asks for no second factor: that
// ssh has logged in, and has verified the host's key by its own configuration.
//
// The package does not use OpenSSH's proxy mode, for which x/crypto has a client
// (ssh.NewControlClientConn). A client may leave after the server has refused it any channel. Up to
// OpenSSH 10.6, the ssh with the socket then ends, with all its connections ("chan_send_close2: no
// remote_id").
package master
