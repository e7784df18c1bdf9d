// Package e2e holds the end-to-end tests. They drive the built program as its user would, in the lab
// (scripts/lab) with real SSH, Slurm, munge and PAM. They have the build tag lab, because they need
// root and a running lab:
//
//	scripts/test e2e [-run REGEX]
//
// Each test begins and ends with a clean lab: no job in the queue, no process of alice or mallory on
// any host, no port taken on the laptop, and no new file but logs. A test waits for events, never for
// time to pass.
//
// One table of scenarios (TestScenario) needs no lab. Without the build tag, go test runs it against
// the demo (internal/demo), without root.
package e2e
