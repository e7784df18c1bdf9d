package demo

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

// A runner runs a job on its node: it starts the server, finds its socket, reports events, watches
// the lease, and ends the job with the server. It corresponds to slurm/remote/40-run.sh on a real
// node.
type runner struct {
	s    *session
	c    *Cluster
	node string
	port int
	wide bool // the server may listen on more than the loopback

	stopAsked chan struct{} // the verb stop asks for the end
	slurmStop chan struct{} // Slurm ends the job
	killed    chan struct{} // the end comes without grace
	done      chan struct{}

	proc        *process
	reported    map[string]bool // other sockets, by address
	preexisting map[string]bool // sockets from before the server's start

	endReason, message string
	code               int // the server's exit status; -1: none
}

// startRunner starts the runner of a granted job. The caller holds the controller's lock.
func (c *Cluster) startRunner(s *session, j *job) {
	r := &runner{
		s: s, c: c, node: j.nodes[0], code: -1, wide: s.asked.Get("allow_wide") == "1", reported: map[string]bool{}, preexisting: map[string]bool{},
		stopAsked: make(chan struct{}, 1), slurmStop: make(chan struct{}, 1), killed: make(chan struct{}, 1), done: make(chan struct{}),
	}
	j.stop = func(kill bool) {
		trySend(r.slurmStop)
		if kill {
			trySend(r.killed)
		}
	}
	c.tasks.Go(func() {
		defer close(r.done)
		s.updateAndNotify(func() { s.job, s.run = j, r })
		c.recordStep(s.id, "slurm", "granted: job "+j.idString()+" on "+r.node)
		s.appendEvent("alive", "job="+j.idString(), "step=0", "node="+r.node, "pid=1", "hostkey="+c.hostKey(r.node))
		r.runServer()
		// Release the job first, so a client that reads the event finds the job gone.
		c.ctl.releaseJob(j, "CANCELLED")
		code := ""
		if r.code >= 0 {
			code = strconv.Itoa(r.code)
		}
		s.appendEvent("exited", "reason="+r.endReason, "code="+code, "message="+r.message)
	})
}

// trySend sends, or does nothing if the previous value has not been received yet.
func trySend(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// runServer starts the server and returns when it has ended. If another process takes the port,
// it tries again with another one, up to five times in all.
func (r *runner) runServer() {
	if unheard, ok := r.s.checkAbandoned(); ok {
		r.endReason, r.message = "lease", fmt.Sprintf("the lease had not been renewed for %d s when the job started", unheard)
		return
	}
	for range 5 {
		if !r.choosePort() {
			return
		}
		err := r.launchServer()
		if err != nil {
			r.endReason, r.message = "setup", err.Error()
			return
		}
		r.watchServer()
		if r.endReason != "collision" || r.s.asked.Int("port") != 0 {
			return
		}
		r.s.appendEvent("collision", "port="+strconv.Itoa(r.port))
	}
}

// choosePort chooses a free port below the range of outgoing connections, or checks that the
// requested port is free. If it returns false, it has set the reason.
func (r *runner) choosePort() bool {
	all := findListeners()
	clear(r.preexisting)
	for _, l := range all {
		r.preexisting[l.id+l.addr.String()] = true
	}
	if r.port = r.s.asked.Int("port"); r.port != 0 {
		v := classifyPort(all, r.port)
		if v.kind == "none" && canBind(r.port) {
			return true
		}
		whose := "another process of yours"
		if v.kind == "foreign" {
			whose = "user " + v.owner
		}
		r.endReason, r.message = "port", fmt.Sprintf("port %d on %s is taken by %s", r.port, r.node, whose)
		return false
	}
	// The port that the client wishes for is in use by its own end, which is on this machine too.
	for range 1000 {
		if r.port = 10240 + rand.IntN(32768-10240); classifyPort(all, r.port).kind == "none" && canBind(r.port) { //nolint:gosec // no secret
			return true
		}
	}
	r.endReason, r.message = "port", "no free port on "+r.node
	return false
}

func canBind(port int) bool {
	l, err := net.Listen("tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(port))) //nolint:noctx // it is done at once
	if err == nil {
		_ = l.Close()
	}
	return err == nil
}

// The intervals between checks of the sockets: while the server starts, and afterwards.
const (
	fastPollInterval = 25 * time.Millisecond
	slowPollInterval = time.Second
)

// While a server starts, its growing log shows that it works. After idleChecks intervals without
// growth, the runner reports it as idle.
const (
	workCheckInterval = 3 * time.Second
	idleChecks        = 10
)

// watchServer reports the server's events and returns when the server has ended.
func (r *runner) watchServer() {
	r.endReason, r.message, r.code = "", "", -1
	up, sock := false, ""
	sockets, work := time.NewTicker(fastPollInterval), time.NewTicker(workCheckInterval)
	defer work.Stop()
	busy, written, rests := false, r.s.log.writtenBytes(), 0
	defer sockets.Stop()
	lease := time.NewTimer(time.Hour)
	defer lease.Stop()
	for {
		r.s.mu.Lock()
		changed := r.s.changed
		r.s.mu.Unlock()
		var over <-chan time.Time
		if left, ok := r.s.remainingLease(); ok {
			lease.Reset(max(left, 0))
			over = lease.C
		}
		select {
		case <-changed:
		case <-r.stopAsked:
			r.terminateServer("asked")
			return
		case <-r.slurmStop:
			r.terminateServer("term")
			return
		case <-over:
			r.message = fmt.Sprintf("no client has renewed the lease of %d s", int(r.s.leaseTerm.Seconds()))
			r.terminateServer("lease")
			return
		case <-r.proc.done:
			r.code, r.endReason = r.proc.code, "exit"
			if failure, err := os.ReadFile(r.failureFile()); err == nil {
				r.endReason, r.message = "setup", strings.TrimSpace(string(failure))
			}
			if v := classifyPort(findListeners(), r.port); !up && (v.kind == "ours" || v.kind == "foreign") {
				r.endReason = "collision"
				if r.s.asked.Int("port") != 0 {
					r.message = fmt.Sprintf("port %d on %s was taken by another process", r.port, r.node)
				}
			}
			r.proc.killRemaining()
			return
		case <-work.C:
			if up {
				continue
			}
			if now := r.s.log.writtenBytes(); now != written {
				written, rests = now, 0
			} else {
				rests++
			}
			if rests == 0 && !busy {
				busy = true
				r.s.appendEvent("work", "busy=1")
			} else if rests == idleChecks && busy {
				busy = false
				r.s.appendEvent("work", "busy=")
			}
		case <-sockets.C:
			all := findListeners()
			v := classifyPort(all, r.port)
			switch {
			case v.kind == "wide" && !r.wide:
				r.message = fmt.Sprintf("the server listens on %s port %d, where others can reach it", v.bound, r.port)
				r.terminateServer("wide")
				return
			case v.kind == "ours" || v.kind == "wide":
				if v.id != sock {
					up, sock = true, v.id
					wide := ""
					if v.kind == "wide" {
						wide = "1"
					}
					r.c.recordStep(r.s.id, r.node, fmt.Sprintf("the server listens on %s port %d, and the socket is yours", v.bound, r.port))
					r.s.appendEvent("listening", "addr="+v.addr, "port="+strconv.Itoa(r.port), "bound="+v.bound, "wide="+wide)
					sockets.Reset(slowPollInterval)
				}
			case sock != "":
				sock = ""
				r.s.appendEvent("closed", "verdict="+v.kind)
				sockets.Reset(fastPollInterval)
			}
			if !up || r.s.asked.Get("forward_new") == "1" {
				r.reportOtherSockets(all)
			}
		}
	}
}

// reportOtherSockets reports each of the session's other sockets once, and when it is gone. It
// ignores the user's other sockets: this machine has many, the client's own among them.
func (r *runner) reportOtherSockets(all []listener) {
	var fresh []listener
	here := map[string]bool{}
	for _, l := range all {
		name := l.addr.String()
		if !l.mine || int(l.addr.Port()) == r.port || r.preexisting[l.id+name] {
			continue
		}
		here[name] = true
		if !r.reported[name] {
			fresh = append(fresh, l)
		}
	}
	fields := func(l string) []string {
		host, port, _ := net.SplitHostPort(l)
		return []string{"addr=" + host, "port=" + port}
	}
	for name := range r.reported {
		if !here[name] {
			delete(r.reported, name)
			r.s.appendEvent("vanished", fields(name)...)
		}
	}
	if len(fresh) == 0 {
		return
	}
	for _, l := range ofSession(fresh, "CSCS_SESSION="+r.s.id, r.proc.pid) {
		r.reported[l.addr.String()] = true
		r.s.appendEvent("elsewhere", fields(l.addr.String())...)
	}
}

// terminateServer asks the server to end, waits for the grace period, and then kills it.
func (r *runner) terminateServer(why string) {
	r.endReason = why
	r.s.appendEvent("stopping", "reason="+why)
	r.proc.terminate()
	grace := time.NewTimer(time.Duration(r.s.asked.Int("grace")) * time.Second)
	defer grace.Stop()
	select {
	case <-r.proc.done:
	case <-r.killed:
	case <-grace.C:
		if r.message != "" {
			r.message += "; "
		}
		r.message += fmt.Sprintf("the server did not end within %d s and was killed", r.s.asked.Int("grace"))
	}
	r.proc.killRemaining()
	<-r.proc.done
	r.code = r.proc.code
}

// awaitRunner waits until the session's runner, if any, has ended and the log is complete.
func (s *session) awaitRunner() {
	s.mu.Lock()
	r := s.run
	s.mu.Unlock()
	if r != nil {
		<-r.done
	}
}

var errNoUenv = errors.New("the demo has neither uenv nor containers: leave --uenv, --view and --environment out")
