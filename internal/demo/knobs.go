package demo

// What can be done to a cluster by others than its user: for tests, which do the same to
// the lab.

// Queue is what squeue shows, one job a line: number, name, state, reason.
func (c *Cluster) Queue() string { return c.ctl.formatQueue() }

// Cancel is scancel by somebody.
func (c *Cluster) Cancel(job string) { c.ctl.endJobByID(job, "CANCELLED") }

// Expire is the end of a job's time limit.
func (c *Cluster) Expire(job string) { c.ctl.endJobByID(job, "TIMEOUT") }

// Occupy gives all nodes to another user, until release is called.
func (c *Cluster) Occupy() (release func()) { return c.ctl.occupyFreeNodes() }

// Cut takes the line to the jump host away, until Heal is called: connections break, and new
// ones are not answered.
func (c *Cluster) Cut() {
	c.mu.Lock()
	c.jumpCut = true
	c.mu.Unlock()
	c.jump.Cut()
}

// Heal gives it back. Connections that came meanwhile are answered now, as those whose first packet is sent again.
func (c *Cluster) Heal() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.jumpCut = false
	for _, conn := range c.heldConns {
		c.tasks.Go(func() { c.jump.Serve(conn) })
	}
	c.heldConns = nil
}

// TurnAway has the nodes' own sshd refuse everybody, or not any more.
func (c *Cluster) TurnAway(on bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.nodesRefuse = on
}
