# The variables that functions of different files share, or that outlive a function. Each has one
# meaning. The files (by their numbers) are those that write it; TestGlobals compares this table
# with the script. The client sets its variables (00-lib.sh); the script writes only those of them
# that this table contains.
#
#	variable		written in	meaning
#	cscs_about		65		list: the session's own description, its session.json
#	cscs_absent		26		number of answers of Slurm's in a row without a job of the session
#	cscs_addr		10		of the last judged port: the address to forward to
#	cscs_age		65		list: seconds since the lease was renewed; -1: unknown
#	cscs_argv		46		the server's command
#	cscs_asked		20 21		cscs_uptime at the first request
#	cscs_ask_at		26		milliseconds of waiting after which the script asks Slurm next
#	cscs_asking		00 21 24		set if a request of this process has no number yet
#	cscs_away		65		list: set if the last client of the session detached
#	cscs_barred		10		of the last judged port: set if another user's socket is in the way
#	cscs_batched		24		set in the batch script
#	cscs_beat		40		the runner's last pulse
#	cscs_before		40		runner: the sockets that existed before the server
#	cscs_born		40		runner: cscs_uptime at its start
#	cscs_bound		10		of the last judged port: the address that its socket is bound to
#	cscs_cancelled_jobs	00		numbers of the jobs that this shell has cancelled
#	cscs_cause		40		runner: the state to report for a job that Slurm ends
#	cscs_clock		40		runner: milliseconds since its start
#	cscs_code		20 22 24	exit status of the last salloc, sbatch or srun
#	cscs_command		52		bootstrap.sh: the command that cscs_run_pip runs
#	cscs_controller		00		variables by which Slurm's commands find slurmctld
#	cscs_count		52		bootstrap.sh: packages that pip has found
#	cscs_detaching		20 22		set if the client has sent detach
#	cscs_dir		00 10 24 40 45 50 80	the session's directory
#	cscs_end		40		runner: why the session ends
#	cscs_env		46		variables for the server
#	cscs_environment	46		the EDF of the container in which the server runs
#	cscs_error		52		bootstrap.sh: the last error in the output of pip
#	cscs_expanded		00		set if a variable was replaced
#	cscs_forgotten		65		seconds beyond the lease until a session is stale
#	cscs_found		10		the sockets of the last check
#	cscs_fresh		52		bootstrap.sh: set if cscs has made the environment and may empty it
#	cscs_granted		20 22 30	set if the allocation is granted
#	cscs_gres		20 40 55		generic resources of the job on its first node
#	cscs_handover		20 21 22		taking, then taken: cscs takes the waiting request back from salloc for sbatch
#	cscs_head		00		scratch of cscs_expand_argument
#	cscs_heard		15		cscs_uptime at the client's last heartbeat
#	cscs_hidden		00 45		variables that this shell does not have and the server gets
#	cscs_info		20 30 40 45	the last answer of scontrol about the job
#	cscs_info_job		20 26 30		number of the job that cscs_info and cscs_gres describe
#	cscs_item		52 55		bootstrap.sh, inside.sh: scratch of a function
#	cscs_job		20 22 24 26 30 40 70 80	number of the session's job; 70: of the user's
#	cscs_jobs		60		"number state" of each job of the session in Slurm
#	cscs_keep_logs		65		seconds for which list keeps a log
#	cscs_known_prefix	00 46		prefix of the names of the variables that are looked up
#	cscs_last		52		bootstrap.sh: the last line of the output of pip
#	cscs_lasting_presets	00		presets of salloc and sbatch that apply to a session
#	cscs_leading		00		regular expression: a variable at the beginning of a path
#	cscs_lease_look		15		milliseconds between two reads of the lease
#	cscs_leased		15		runner: the last value of the lease
#	cscs_let_go		20 24 30	set if the runner's srun was killed and the step may have ended with it
#	cscs_letters		00		the characters with which the name of a variable can begin
#	cscs_listen		00 40 50	the port that the server is given
#	cscs_lived		24		set if the runner outlived its srun
#	cscs_logger		40		runner: process of cscs_write_log
#	cscs_look_rest		10		milliseconds until the next check of the sockets
#	cscs_looked		40		runner: cscs_clock at the last read of the lease
#	cscs_looks		52		bootstrap.sh: how many times another process had the lock
#	cscs_made		52		bootstrap.sh: set if this process has made the file that marks the environment
#	cscs_lost		21		set if a request was lost and was made again
#	cscs_mark		52		bootstrap.sh: the character before the exit status of pip
#	cscs_measured		40		runner: cscs_clock at the last check whether the server works
#	cscs_message		40		runner: message for the end of the session
#	cscs_mine		26		the user's accounts
#	cscs_name		00		name of the session's job
#	cscs_node		40 70		name of the node
#	cscs_offer		20		the partitions, as fields of cscs_say
#	cscs_offset		30		bytes of the event file that the client has received
#	cscs_option		00		place of the variable cscs_undefined
#	cscs_out		22 24		descriptor of the output of salloc or sbatch
#	cscs_output		52		bootstrap.sh: a line of the output of pip
#	cscs_parent_mark	00		name of the mark of the directories above the sessions'
#	cscs_pid		40		runner: the server's process
#	cscs_pids		40		runner: processes of the session
#	cscs_pip_code		52		bootstrap.sh: exit status of pip
#	cscs_port_kept		00		launch: set if PORT is read-only in the login shell
#	cscs_posix		00		launch: set if the login shell has set POSIXLY_CORRECT
#	cscs_present		65		seconds for which a client counts after its last heartbeat
#	cscs_proc_net		10		where the kernel shows its sockets
#	cscs_pulsed		40		runner: cscs_clock at the last pulse
#	cscs_quick		21		set if salloc's request is taken back when it has to wait
#	cscs_read_lines		30		follow: number of lines read of the event file; empty: the last one was not complete
#	cscs_reads		46		paths that the server shows
#	cscs_reason		52		bootstrap.sh: why pip failed
#	cscs_reference		00		regular expression: a variable behind its dollar sign
#	cscs_reported		40		runner: the other sockets that it has reported
#	cscs_reports		40		runner: number of other sockets that it has reported
#	cscs_reports_most	40		maximum of cscs_reports
#	cscs_rest		00		scratch of cscs_expand
#	cscs_runner_step	20 30		the runner's step, from its own report
#	cscs_said		60		output of Slurm's command that failed
#	cscs_salloc		22		process of salloc
#	cscs_sbatch		24		process of sbatch
#	cscs_script		00		the text of this script
#	cscs_seen		30		follow: the last line of the event file that matters
#	cscs_server_code	40		runner: exit status of the server; empty: it runs
#	cscs_shell_timeout	40		milliseconds after which a login shell is reported
#	cscs_shown		67		log: bytes that the client has received
#	cscs_shown_jobs		00 60		numbers of the jobs that squeue has shown to this shell
#	cscs_signalled		15 40		runner: set if the lease was renewed by a signal
#	cscs_silence_most	21		seconds for which the script waits for a slurmctld that is down
#	cscs_sock		10		of the last judged port: its socket
#	cscs_sshd_dirs		80		directories that can contain an sshd
#	cscs_state		26		state of the pending job
#	cscs_step		60		the runner's step, from the client or the event file
#	cscs_step_args		46		options of the server's own step
#	cscs_step_asks		22		cscs_uptime from which the script may ask Slurm for steps again
#	cscs_step_most		20		seconds for which the script tries to get a step
#	cscs_step_wait		20		seconds for which one srun waits for its step
#	cscs_stop		24 40		why this process is to stop the server: asked, slurm
#	cscs_tab		00		a tab
#	cscs_target		52		bootstrap.sh: the virtual environment
#	cscs_term		65		list: seconds of the lease
#	cscs_time		52		bootstrap.sh: when the progress of pip was last reported, in seconds
#	cscs_uid		10		of the last judged port: the owner, if not the user
#	cscs_unbatched		21		sbatch's words, if salloc asks instead
#	cscs_undefined		00		name of a variable that has no value
#	cscs_unheard		20		the words for a node that does not reach srun on the login node
#	cscs_unheard_most	20		seconds that srun has for its first word, see cscs_start_runner_once
#	cscs_unowned		15		runner: milliseconds since the lease was renewed
#	cscs_unproven		60		numbers of jobs that have the session's name and may be its own
#	cscs_unwritten		15		set if the lease could not be written
#	cscs_user		00		the user's name
#	cscs_user_umask		40 45 55 99	the user's umask
#	cscs_venv		00 46		launch: the virtual environment
#	cscs_verdict		10		of the last judged port: none, ours, wide, foreign
#	cscs_waits		26		cscs_uptime when the job began to wait
#	cscs_where		50		serve: name of this node in messages
#	cscs_word		00		scratch of cscs_expand and cscs_is_read
#	cscs_words		22 24		output of salloc or sbatch, lines separated by |
#	cscs_work		40		runner: bytes of the log and ticks of the processes at the last check
#	cscs_work_pause		40		milliseconds without work after which the runner reports rest
#	cscs_workdir		46		where the server starts
#	cscs_worked		40		runner: cscs_clock when the server was last seen to work; empty: it rests
