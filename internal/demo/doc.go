// Package demo is an embedded cluster: a jump host, a login node and two compute nodes
// in one process, with SSH servers of x/crypto/ssh, a certificate authority of its own and
// a small Slurm, which answers the protocol of the remote half (slurm/remote) in Go.
// Servers run on this machine, as processes of the user's.
//
// Nothing outside of this package, and of the command that starts it, knows that there
// is such a cluster: it is reached by the same way, through the same packages, as any
// other. What is true of a cluster, the lab decides; internal/e2e runs one table of scenarios
// on both.
//
// A cluster lives in a process of its own (Main), which ends with its last visitor and its
// last job. The user's processes find it in a directory (Place).
package demo
