// Package slurm holds all code that uses Slurm: the request for an allocation, the remote half
// (remote/, a bash script sent over standard input), its events, job states, pending reasons and
// host lists. The remote half requests the job and guards it.
//
// Package slurm reaches the cluster through Remote, which runs a command on the login node. It
// knows nothing of connections, flags, terminals or configuration files.
package slurm
