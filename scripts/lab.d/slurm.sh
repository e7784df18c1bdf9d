# shellcheck shell=bash
# Slurm's settings: one controller, the compute nodes, the partitions.

# slurm_conf: the whole of slurm.conf. CPUs are this machine's real ones, because task/affinity binds to
# them; memory and GPUs are only claimed (config_overrides).
slurm_conf() {
	local cpus
	cpus=$(nproc)
	cat <<-EOF
		ClusterName=daint
		SlurmctldHost=ctl($(hsn_address ctl))
		SlurmUser=slurm
		AuthType=auth/munge
		CredType=cred/munge
		StateSaveLocation=/var/lib/slurm/slurmctld
		SlurmdSpoolDir=/var/spool/slurmd
		SlurmctldPidFile=/run/slurmctld.pid
		SlurmdPidFile=/run/slurmd.pid
		SlurmctldLogFile=/var/log/slurm/slurmctld.log
		SlurmdLogFile=/var/log/slurm/slurmd.log
		SlurmctldDebug=verbose
		SlurmdDebug=info
		# What the backfill scheduler has started, 26.05 tells so only (and if it is verbose).
		DebugFlags=HetJob
		MpiDefault=none
		# cgroups are the machine's, not a lab host's.
		ProctrackType=proctrack/linuxproc
		TaskPlugin=task/affinity
		PrologFlags=Alloc,Contain
		ReturnToService=2
		# A dead node is seen in seconds; a lost salloc or srun is never asked after.
		SlurmdTimeout=20
		InactiveLimit=0
		KillWait=5
		# slurmstepd tries once a minute to say that a step is over (24.11, slurmstepd/mgr.c), and by
		# default is taken for one that cannot be killed after as long: a node on which a job ends
		# while slurmctld is down would be drained ("Kill task failed").
		UnkillableStepTimeout=150
		MinJobAge=300
		SchedulerType=sched/backfill
		SchedulerParameters=bf_interval=2,sched_interval=2
		SelectType=select/cons_tres
		SelectTypeParameters=CR_Core_Memory
		# What asks for too much waits with a reason, as at CSCS.
		EnforcePartLimits=NO
		SlurmdParameters=config_overrides
		DefMemPerCPU=$((8000 / cpus))
		GresTypes=gpu
		JobSubmitPlugins=lua
		NodeName=$(node_range) CPUs=$cpus Boards=1 SocketsPerBoard=1 CoresPerSocket=$cpus ThreadsPerCore=1 RealMemory=8000 Gres=gpu:4 State=UNKNOWN
		# A request of urgent takes nodes from jobs of preempt, after 5 s, and from no others.
		PreemptType=preempt/partition_prio
		PreemptMode=CANCEL
		PartitionName=DEFAULT PreemptMode=OFF PriorityTier=1
		PartitionName=normal Nodes=ALL Default=YES OverSubscribe=EXCLUSIVE DefaultTime=01:00:00 MaxTime=24:00:00 State=UP
		PartitionName=debug Nodes=ALL OverSubscribe=EXCLUSIVE DefaultTime=00:30:00 MaxTime=00:30:00 State=UP
		# Four jobs to a CPU: a node has several users' jobs, and several of one user's.
		PartitionName=shared Nodes=ALL OverSubscribe=FORCE:4 DefaultTime=01:00:00 MaxTime=24:00:00 State=UP
		PartitionName=preempt Nodes=ALL OverSubscribe=EXCLUSIVE PreemptMode=CANCEL GraceTime=5 DefaultTime=01:00:00 MaxTime=24:00:00 State=UP
		PartitionName=urgent Nodes=ALL OverSubscribe=EXCLUSIVE PriorityTier=10 DefaultTime=01:00:00 MaxTime=24:00:00 State=UP
		# squeue and scontrol do not show its jobs without an option.
		PartitionName=hidden Nodes=ALL Hidden=YES OverSubscribe=EXCLUSIVE DefaultTime=01:00:00 MaxTime=24:00:00 State=UP
		# job_submit.lua: no batch jobs in the one, nothing else in the other.
		PartitionName=interactive Nodes=ALL OverSubscribe=EXCLUSIVE DefaultTime=01:00:00 MaxTime=24:00:00 State=UP
		PartitionName=batch Nodes=ALL OverSubscribe=EXCLUSIVE DefaultTime=01:00:00 MaxTime=24:00:00 State=UP
		PartitionName=down Nodes=ALL DefaultTime=01:00:00 MaxTime=24:00:00 State=DOWN
	EOF
	[[ -z $ACCOUNTING ]] || accounting_conf
}

# job_submit_lua: sites have a partition for interactive work alone, and one for batch jobs alone. A batch job has
# a script (slurm.conf(5), JobSubmitPlugins).
job_submit_lua() {
	cat <<-'EOF'
		function slurm_job_submit(job, partitions, uid)
			local batch = job.script ~= nil and job.script ~= ''
			if job.partition == 'interactive' and batch then
				slurm.log_user('partition interactive takes no batch jobs')
				return slurm.ERROR
			end
			if job.partition == 'batch' and not batch then
				slurm.log_user('partition batch takes batch jobs alone')
				return slurm.ERROR
			end
			return slurm.SUCCESS
		end
		function slurm_job_modify(job, record, partitions, uid)
			return slurm.SUCCESS
		end
		return slurm.SUCCESS
	EOF
}

# gres_conf: four GPUs, which are /dev/null under another name (see host-init).
gres_conf() {
	printf 'AutoDetect=off\nNodeName=%s Name=gpu File=/dev/nvidia[0-3]\n' "$(node_range)"
}

# cgroup_conf: none are used. 22.05 cannot be told so; its plugin for version 1
# touches none as long as no other plugin asks, and looking for the version
# itself it would miss /sys/fs/cgroup.
cgroup_conf() {
	if [[ $RELEASE == bookworm ]]; then echo 'CgroupPlugin=cgroup/v1'; else echo 'CgroupPlugin=disabled'; fi
}

# write_slurm_files HOST
write_slurm_files() {
	local etc
	etc=$(host_etc "$1")
	mkdir -p "$etc/slurm"
	slurm_conf >"$etc/slurm/slurm.conf"
	gres_conf >"$etc/slurm/gres.conf"
	job_submit_lua >"$etc/slurm/job_submit.lua"
	cgroup_conf >"$etc/slurm/cgroup.conf"
}
