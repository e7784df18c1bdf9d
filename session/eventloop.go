package session

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/alps-tunnel/cscs/forward"
	"github.com/alps-tunnel/cscs/forward/chain"
	"github.com/alps-tunnel/cscs/forward/share"
	"github.com/alps-tunnel/cscs/slurm"
)

// Messages from other goroutines to the session.
type (
	submitDone struct {
		outcome slurm.Outcome
		err     error
	}
	nodeDialled struct {
		login *share.Chain // the chain that carries it
		chain *chain.Chain
		keys  nodeKeys // known at the dial
		err   error
	}
	nodeProbed struct {
		chain *chain.Chain
		keys  nodeKeys // known at the dial
		err   error
	}
	nodeLost struct {
		chain *chain.Chain
		err   error
	}
	probeDone struct {
		addr string
		err  error
		link *printedLink // the link that the server printed; nil: none was seen
	}
	openDone    struct{ err error }
	followAgain struct{ dial int }  // read the events again, if that chain is still the current one
	keyRejected struct{ err error } // the login rejects the key, or no key is valid
	redialled   struct {
		dial  int
		chain *share.Chain
		err   error
	}
	unforwarded struct{ err error } // why a connection was not forwarded
	localLost   struct{ err error } // why the local port was lost
	silence     struct {
		dial   int // the chain that reports it
		hop    string
		silent bool
	}
)

// runUntilEnd runs the session from the start and returns why it ended. nil: the server ended by
// itself, as it should.
func (s *session) runUntilEnd(ctx context.Context) error {
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.stopWork = stop
	if err := s.beginSession(ctx, work); err != nil {
		return err
	}
	s.work.Go(func() { s.tellNotices(work) })
	limits := newLimitTimers(s.cfg.QueueTimeout, s.slowResponseTimeout())
	defer limits.stop()
	s.idle.timer = newStoppedTimer()
	defer s.idle.timer.Stop()
	if s.request.attached != nil {
		limits.queue.Stop() // the client that began the session has set a limit
		s.followSession(work)
	} else {
		s.submitRequest(work)
	}
	for {
		select {
		case m := <-s.messages:
			done, err := s.handleMessage(work, m)
			if done || err != nil {
				return err
			}
			s.login.mayRedial.Store(s.canOutliveChain())
			if s.cfg.Detach && (s.canOutliveChain() && s.job.queued != "" || s.job.step != "") {
				return ErrDetached
			}
			if err := s.updateLimits(limits, m); err != nil {
				return err
			}
		case <-limits.queue.C:
			if rest := s.awaitNews(); rest > 0 {
				limits.queue.Reset(rest)
				continue
			}
			return &slurm.QueueTimeoutError{Job: s.job.info.ID, Waited: time.Since(limits.queuedAt).Round(time.Second), Reason: s.job.reason}
		case <-limits.start.C:
			if rest := s.awaitNews(); rest > 0 {
				limits.start.Reset(rest)
				continue
			}
			if !s.server.busy {
				return s.startTimeoutError()
			}
			s.server.overdue = true
			s.out.warn(s.stillWorks())
		case <-limits.job.C:
			s.warnOfLimit()
			s.awaitLimit(limits.job)
		case <-s.idle.timer.C:
			if err := s.queryLastUse(work); err != nil {
				return err
			}
		case <-limits.slowResponse.C:
			s.reportSlowResponse()
		case <-limits.wrongPort.C:
			s.reportWrongPort()
		case <-s.chainLeaving():
			s.handleChainLeaving(work)
		case <-s.chainEnd():
			if err := s.chainLost(work); err != nil {
				return err
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// beginSession opens the local port and dials the login node. If the client attaches, the
// local port comes last, because its number depends on what the cluster reports.
func (s *session) beginSession(ctx, work context.Context) error {
	if s.request.attached == nil && !s.cfg.Detach {
		if err := s.listenLocal(work); err != nil {
			return err
		}
	}
	if err := s.dialLogin(ctx); err != nil {
		return err
	}
	if s.request.attached == nil {
		return nil
	}
	if err := s.attachToSession(ctx); err != nil {
		return err
	}
	return s.listenLocal(work)
}

// listenLocal opens the local port and answers there from then on. A new session does this before it
// asks the cluster for anything.
func (s *sessionCore) listenLocal(work context.Context) error {
	if err := s.bindLocalPort(); err != nil {
		return err
	}
	s.listener.Observe = s.postConnError
	s.cfg.Metrics.addPort(s.listener)
	s.connectRoom()
	s.work.Go(func() { s.serveLocal(work) })
	return nil
}

// postConnError posts a notice of connections that were not forwarded for security. It drops
// others.
func (s *sessionCore) postConnError(err error) {
	var stranger *NotYoursError
	if errors.As(err, &stranger) {
		s.postNotice(unforwarded{stranger})
	} else if errors.Is(err, errUnseen) {
		s.postNotice(unforwarded{errUnseen})
	}
}

// randomPort returns a random port that a server may use too.
func randomPort() int { return firstServerPort + rand.IntN(serverPorts) } //nolint:gosec // no secret

// bindLocalPort opens the local port: the configured one, that of a server that already runs, or
// the first free one from the app's port on.
func (s *sessionCore) bindLocalPort() error {
	var err error
	if s.cfg.LocalPort != 0 {
		s.listener, err = forward.Listen(s.cfg.LocalPort)
		return err
	}
	if s.server.attachedPort > lastPrivileged {
		if s.listener, err = forward.Listen(s.server.attachedPort); err == nil {
			return nil
		}
	}
	first := cmp.Or(s.cfg.App.Port, s.cfg.App.LocalPort)
	if first == 0 {
		// Any port that a server may use too: see wishedPort.
		s.listener, err = forward.ListenFrom(randomPort())
		return err
	}
	if s.listener, err = forward.ListenFrom(first); err != nil {
		return err
	}
	if p := s.listener.Port(); p != first {
		use := "in use"
		var denied *forward.PortDeniedError
		if l, err := forward.Listen(first); err == nil {
			_ = l.Close() // it has become free meanwhile
		} else if errors.As(err, &denied) {
			use = "reserved by the system"
		} else if holder := forward.Holder(context.Background(), first); holder != "" {
			use += " by " + holder
		}
		s.out.warn(fmt.Sprintf("local port %d is %s: taking %d", first, use, p))
	}
	return nil
}

// dialLogin dials the first chain to the login node and emits an event for each hop.
func (s *sessionCore) dialLogin(ctx context.Context) error {
	opts := s.nextChainOptions()
	opts.Observe = func(hop string, connected bool) {
		name := EventConnecting
		if connected {
			name = EventConnected
		}
		s.out.emitEvent(Event{Event: name, Host: hop})
	}
	var err error
	s.login.chain, err = s.cfg.dialLogin(ctx, opts)
	s.login.dialled = s.login.dials
	s.cfg.Metrics.resetRTT(s.login.dialled)
	return err
}

const (
	// Ports that need no privilege, and that usual systems do not use for outgoing connections.
	firstServerPort = 10240
	serverPorts     = 32768 - firstServerPort
	// lastPrivileged is the last port on which only root may listen.
	lastPrivileged = 1023
)

// wishedPort returns the port that the server gets on its node if it is free there: the local
// port's number.
func (s *session) wishedPort() int {
	c := s.cfg
	switch {
	case s.listener != nil:
		c.LocalPort = s.listener.Port()
	case c.LocalPort == 0 && c.App.LocalPort == 0: // for clients that attach later
		c.LocalPort = randomPort()
	}
	return c.WishedPort()
}

// WishedPort returns the port that the server gets on its node if it is free there: the local
// port's number. A server that compares its own address with the Host of a request then sees what
// it expects, as with ssh -L 8888:localhost:8888. The result is 0 if the app has a port of its own,
// if the local port is not known yet, or if only root may listen there.
func (c Config) WishedPort() int {
	port := cmp.Or(c.LocalPort, c.App.LocalPort)
	if c.App.Port != 0 || port <= lastPrivileged {
		return 0
	}
	return port
}

// submitRequest submits the request. Its events arrive as messages.
func (s *session) submitRequest(work context.Context) {
	s.request.submitted = true
	request := s.cfg.Request
	request.QueueTimeout = s.cfg.QueueTimeout
	s.cfg.wish = s.wishedPort()
	s.request.submission = &slurm.Submission{ID: s.cfg.ID, Request: request, Launch: s.cfg.buildLaunch(), Client: s.cfg.Client, Lease: s.cfg.Lease}
	s.readEvents(work, s.request.submission.Submit)
}

// followSession reads the session's events from the first on. They arrive as messages, as if they
// happened now.
func (s *session) followSession(work context.Context) {
	s.request.submitted = true
	s.request.submission = &slurm.Submission{ID: s.cfg.ID, Client: s.cfg.Client, Lease: s.cfg.Lease}
	s.readEvents(work, s.request.submission.Follow)
}

// readEvents reads the session's events in a goroutine, by Submit or Follow.
func (s *session) readEvents(work context.Context, from func(context.Context, slurm.Remote, func(slurm.Event) error) (slurm.Outcome, error)) {
	end := make(chan struct{})
	s.request.readEnd = end
	remote := s.login.chain
	ctx, stop := context.WithCancel(work)
	s.request.stopRead = stop
	s.work.Go(func() {
		defer close(end)
		defer stop()
		out, err := from(ctx, remote, func(e slurm.Event) error { return s.sendMessage(ctx, e) })
		if ctx.Err() == nil {
			_ = s.sendMessage(ctx, submitDone{out, err})
		}
	})
}

// sendMessage sends a message to the session's goroutine. It blocks until the session has received
// the message or work ends, whose cause it then returns.
func (s *sessionCore) sendMessage(work context.Context, m any) error {
	select {
	case s.messages <- m:
		return nil
	case <-work.Done():
		return context.Cause(work)
	}
}

// handleMessage handles one message. done: the server ended as it should.
func (s *session) handleMessage(work context.Context, m any) (done bool, err error) {
	switch m := m.(type) {
	case unrenewed:
		if s.request.unwritten {
			s.out.warn("the lease cannot be renewed on " + s.node.name + " either: the job ends when it runs out, within " + formatDuration(s.cfg.Lease))
		}
	case unscanned:
		if m.node == s.node.name {
			s.node.keys.scanned = true
			s.dialKnown(work)
		}
	case nodeDialled:
		return false, s.handleNodeDialled(work, m)
	case nodeProbed:
		return false, s.handleNodeProbed(work, m)
	case nodeLost:
		if s.chainIsLost() || m.chain != s.node.chain {
			return false, nil // together with its chain
		}
		s.leaveNode()
		s.tellNodeLost(m.err.Error())
		s.dialNode(work)
	case probeDone:
		return false, s.handleProbeDone(work, m)
	case portProbed:
		s.handlePortProbed(work, m)
	case graceExpired:
		s.handleGraceExpired(work, m)
	case dynamicPortLost:
		s.handleDynamicPortLost(work, m)
	case printed:
		s.linkPrinted(m.link)
	case openDone:
		if m.err != nil {
			s.warnBrowserUnopened(m.err)
		}
	case submitDone:
		return s.submitDone(work, m)
	case redialled:
		return false, s.resumeSession(work, m)
	case followAgain:
		if m.dial == s.login.dialled && !s.login.lost && !s.chainIsLost() {
			s.readEvents(work, s.request.submission.Follow)
		}
	case keyRejected:
		if !s.login.keyRejectionTold {
			s.login.keyRejectionTold = true
			x := s.cfg.Explain(m.err)
			s.out.warn("cannot connect again: " + x.Message + " (" + x.inlineHint() + "); the session continues when that is fixed")
		}
	case silence:
		s.onSilence(work, m)
	case nodeUnresponsive:
		if m.chain == s.node.chain && !s.isUnresponsive() && !s.login.lost {
			s.listener.SetTarget(nil)
			s.tellNodeLost(noAnswer)
		}
	case lastUse:
		return false, s.useKnown(m)
	case forbidden:
		s.handleForbidden(work, m)
	case unforwarded:
		s.warnUnforwarded(m.err)
	case unadmitted:
		s.out.warn("the browser will be asked for the token: " + m.err.Error())
	case localLost:
		return false, m.err
	default:
		s.handleRemoteEvent(work, m)
	}
	return false, nil
}

// handleRemoteEvent handles an event that the remote part reports.
func (s *session) handleRemoteEvent(work context.Context, m any) {
	s.job.recordEvent(m) // a pending job is reported with its reason, which the login node requests next
	switch m.(type) {
	case slurm.Pending, slurm.Queued, slurm.Granted, slurm.Alive, slurm.Started, slurm.Listening, slurm.Closed, slurm.JobState:
		s.request.failedReads = 0 // an event was read
	}
	switch m := m.(type) {
	case slurm.Hello:
		s.request.greeted, s.request.readBegan = true, time.Now()
	case slurm.Queued:
		s.reportQueued(m)
		s.openRoom(work)
	case slurm.Granted:
		s.handleGrant(m.Job)
		if len(m.Job.Nodes) > 0 {
			s.giveHeadStart(work, m.Job.Nodes[0])
		}
		s.openRoom(work)
	case slurm.Requeued:
		s.handleRequeue(m)
	case slurm.LeaseUnwritten:
		s.request.unwritten = true
		s.out.warn(s.leaseInDoubt(m))
	case slurm.LeaseWritten:
		s.request.unwritten = false
		s.out.warn("the login node can write the lease again")
	case slurm.Alive:
		s.node.name, s.node.keys = m.Node, nodeKeys{lines: m.HostKeys}
		s.node.addrs, s.node.addr = m.Addrs, ""
		if s.node.chain == nil { // otherwise the runner was started again
			s.dialNode(work)
		}
	case slurm.Scanned:
		s.node.keys.addScanned(m.HostKeys)
		s.dialKnown(work)
	case slurm.Started:
		s.server.port = m.Port
		s.server.portSeen.Store(int64(m.Port))
		s.dropDynamicPorts()
		s.watchPort(work)
		s.out.emitEvent(Event{Event: EventStarted, Node: m.Node, PID: m.PID})
	case slurm.Unlaunched:
		s.server.unlaunched = m.Err
		x := s.cfg.Explain(m.Err)
		s.out.warn(x.Message + " (" + x.inlineHint() + "); still waiting")
	case slurm.Launched:
		s.server.unlaunched = nil
	case slurm.Work:
		s.server.busy = m.Busy
	case slurm.Listening:
		if m.Wide {
			s.out.warn(fmt.Sprintf("the server listens on %s of %s, where others can reach it too", m.Bound, s.node.name))
		}
		s.server.listening = &m
		s.warnOfNeighbours()
		s.connectServer(work)
	case slurm.Closed:
		s.server.listening = nil
		s.listener.SetTarget(nil)
		if s.server.ready {
			s.out.warn("the server closed its port: new connections wait for it to listen again")
		}
	case slurm.Elsewhere:
		if !s.server.ready {
			s.server.others = append(s.server.others, m.Addr)
		}
		s.handleNewSocket(work, m.Addr)
	case slurm.Vanished:
		s.handleClosedSocket(work, m.Addr)
	case slurm.Swept:
		s.out.warn(fmt.Sprintf("session %s had no owner; job %s was cancelled", m.ID, m.Job))
	case slurm.Note:
		s.out.warn(m.Message)
	case slurm.JobState:
		s.reportSuspension(m.Job)
		s.job.info.State = m.Job.State
	}
}

// handleProbeDone points the local port to a server that answers.
func (s *session) handleProbeDone(work context.Context, m probeDone) error {
	if s.node.chain == nil || s.server.listening == nil || s.server.listening.Addr != m.addr {
		return nil // of a connection or a socket that no longer exists
	}
	if m.err != nil {
		return &ProbeError{Node: s.node.name, Err: m.err}
	}
	if m.link != nil && !s.server.ready {
		s.takeLink(m.link)
	} else if !s.server.ready && s.seeksLink() {
		s.awaitLink(work, s.newNodeDialer().newTarget(s.server.port, s.server.listening.Addr))
	}
	s.handleServerUp(work)
	return nil
}

// serveLocal forwards the connections to the local port, and reports its loss.
func (s *sessionCore) serveLocal(work context.Context) {
	if err := s.listener.Serve(work); err != nil {
		_ = s.sendMessage(work, localLost{err})
	}
}

// warnUnforwarded warns of connections that were not forwarded because the remote port is not seen
// to be the user's. A browser may try many, so it warns once per refusedPause.
func (s *sessionCore) warnUnforwarded(err error) {
	if now := time.Now(); now.Sub(s.server.refusedAt) > refusedPause {
		s.server.refusedAt = now
		s.out.warn("not forwarded: " + err.Error())
	}
}

// reportQueued reports why the job waits, if the reason, the estimate or the job's number has
// changed.
func (s *session) reportQueued(q slurm.Queued) {
	if q.State == "CONFIGURING" {
		q.Explained = "its nodes are being made ready"
	}
	if q.Job == s.job.queued && q.Explained == s.job.reason && q.Start.Equal(s.job.estimate) {
		return
	}
	s.job.queued, s.job.reason, s.job.estimate = q.Job, q.Explained, q.Start
	e := Event{Event: EventQueued, Job: q.Job, Reason: q.Explained, Kept: s.canOutliveChain()}
	e.Local, e.Link = s.waitsAt()
	if !q.Start.IsZero() {
		start := q.Start.UTC()
		e.Start = &start
	}
	s.out.emitEvent(e)
}

// handleRequeue handles a requeue of the job before anything of the session ran in it.
func (s *session) handleRequeue(m slurm.Requeued) {
	if m.Message == "" {
		m.Message = "Slurm has put job " + m.Job + " back into the queue: waiting for it to start again"
	}
	s.out.warn(m.Message)
}

// warnOfNeighbours warns once that other users of a shared node can reach a server without a login:
// they share its loopback.
func (s *session) warnOfNeighbours() {
	if !s.job.info.Shared || s.server.toldShared || s.cfg.App.Login != nil {
		return
	}
	s.server.toldShared = true
	who := "if the server has no login of its own, "
	if s.cfg.App.Open {
		who = "the server has no login: "
	}
	s.out.warn(who + fmt.Sprintf("users who have a job on the shared node %s can reach it (port %d). --slurm=--exclusive requests a node for you alone", s.node.name, s.server.port))
}

// leaseInDoubt returns the warning that the login node cannot write the lease. It says what keeps
// the job.
func (s *session) leaseInDoubt(m slurm.LeaseUnwritten) string {
	message := "the lease cannot be written on " + m.Host + " (" + m.Message + "): "
	if s.server.monitor != nil && s.node.chain != nil {
		return message + "it is renewed over the connection to " + s.node.name + " alone"
	}
	return message + "unless that works again, the job ends after " + formatDuration(s.cfg.Lease) + ". Is the home directory full or read-only there?"
}

// handleGrant reports the grant of the job.
func (s *session) handleGrant(job slurm.JobInfo) {
	e := Event{Event: EventGranted, Job: job.ID, Nodes: job.Nodes, Partition: job.Partition, Account: job.Account, Earlier: s.request.attached != nil && s.job.queued == ""}
	e.Local, e.Link = s.waitsAt()
	if len(job.Nodes) > 0 {
		e.Node = job.Nodes[0]
	}
	if !job.Ends.IsZero() {
		ends := job.Ends.UTC()
		e.Ends = &ends
	}
	if !job.Begins.IsZero() {
		begins := job.Begins.UTC()
		e.Begins = &begins
	}
	s.out.emitEvent(e)
}

// connectServer probes the server once both the server and the connection to its node are there.
// The result leads to ready.
func (s *session) connectServer(work context.Context) {
	if s.server.listening == nil || s.node.chain == nil || !s.node.forwards {
		return
	}
	s.stopProbe()
	seeks := !s.server.ready && s.seeksLink()
	if !s.server.ready && s.cfg.App.Probe == nil && !seeks {
		s.handleServerUp(work)
		return
	}
	ctx, cancel := context.WithCancel(work)
	s.server.stopProbe = cancel
	port, addr, dialer, again := s.server.port, s.server.listening.Addr, s.newNodeDialer(), s.server.ready
	dial := dialer.newTarget(port, addr)
	s.work.Go(func() {
		var err error
		var link *printedLink
		if again {
			dialer.awaitServer(ctx, port, addr)
		} else if err = s.probeServer(ctx, dial); err == nil {
			s.requestLogin(ctx, dial)
			if seeks {
				atOnce, stop := context.WithTimeout(ctx, printedAtOnce)
				link = s.seekLink(atOnce, dialer.node, dial, 0)
				stop()
			}
		}
		if ctx.Err() == nil {
			_ = s.sendMessage(work, probeDone{addr, err, link})
		}
	})
}

// handleServerUp forwards to the server, which is up. The first call makes the session ready.
func (s *session) handleServerUp(work context.Context) {
	if s.forwardToServer(work, Event{}) {
		s.awaitIdle()
		s.resumeDynamicPorts(work)
	}
}

// forwardToServer sets the local port's target to the server's socket: the exact address that was
// seen on the node (invariant I5). The first call completes and emits e, the event "ready", opens
// the browser and returns true.
func (s *sessionCore) forwardToServer(work context.Context, e Event) (first bool) {
	s.tellServes(s.listener.Port(), s.server.port)
	s.listener.SetTarget(s.newNodeDialer().newTarget(s.server.port, s.server.listening.Addr))
	if s.server.ready {
		return false
	}
	s.server.ready = true
	e.Event, e.On, e.LocalPort, e.Remote = EventReady, s.node.name, s.listener.Port(), s.server.listening.Addr
	e.URL, e.Link = s.serverLink()
	e.OwnLink = s.ownLink()
	s.out.emitEvent(e)
	s.openBrowser(work)
	return true
}

// reportWrongPort warns that the server seems to listen on another port than it was given. So a
// person need not wait for the start timeout.
func (s *session) reportWrongPort() {
	if s.server.ready || s.server.listening != nil {
		return
	}
	message := fmt.Sprintf("nothing listens on port %d of %s, but your processes listen on %s", s.server.port, s.node.name, strings.Join(s.server.others, ", "))
	if slices.ContainsFunc(s.server.others, isExternalAddr) {
		message += ", where everybody on the cluster can reach them"
	}
	s.out.warn(message + ": make the server use {port} and listen on 127.0.0.1, or set its port with --port")
}

// isExternalAddr reports whether other hosts can reach the address.
func isExternalAddr(addr string) bool {
	ap, err := netip.ParseAddrPort(addr)
	return err == nil && !ap.Addr().Unmap().IsLoopback()
}

// stillWorks returns the warning that the server is late, and why the session still waits for it.
func (s *session) stillWorks() string {
	e := s.startTimeoutError()
	return fmt.Sprintf("the server on %s is not ready after %s, but it works: its log grows, or it uses CPU. Still waiting for %s", e.Node, formatDuration(e.Waited), e.Waiting)
}

// startTimeoutError returns what the session was waiting for when the start timeout expired.
func (s *session) startTimeoutError() *StartTimeoutError {
	e := &StartTimeoutError{Node: s.node.name, Waited: s.cfg.StartTimeout, Others: s.server.others}
	if s.server.overdue {
		e.Waited = time.Since(s.job.grantedAt).Round(time.Second)
	}
	switch {
	case s.node.name == "":
		e.Waiting = "the node to begin"
		if len(s.job.info.Nodes) > 0 {
			e.Node = s.job.info.Nodes[0]
		}
	case s.server.listening == nil && s.server.unlaunched != nil:
		e.Waiting, e.Shell = "its login shell, which is in its start-up files still", s.server.unlaunched
	case s.server.listening == nil:
		e.Waiting = fmt.Sprintf("it to listen on port %d", s.server.port)
	case s.node.chain == nil:
		e.Waiting = "ssh to the node"
	case s.cfg.App.Ready != "":
		e.Waiting = "it to answer " + s.cfg.App.Ready + " with 200"
	default:
		e.Waiting = "it to answer"
	}
	return e
}
