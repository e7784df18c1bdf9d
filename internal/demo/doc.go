// Package demo is an embedded cluster: a jump host, a login node and two compute nodes
// in one process. The hosts are SSH servers of x/crypto/ssh. The cluster has its own certificate
// authority and a small Slurm, and answers the protocol of the remote half (slurm/remote) in Go.
// Servers run on this machine, as processes of the user.
//
// Only cmd/cscs and the end-to-end tests know this package. All other packages reach the cluster
// as they reach any other. The lab decides how a real cluster behaves: internal/e2e runs one
// table of scenarios on both.
//
// A cluster runs in a process of its own (serveCluster), which ends with its last visitor and
// its last job. The user's processes find it in a directory (Place).
package demo
