# --bootstrap: a virtual environment with the server's program, for nodes that do not have the
# program. The node makes it with the Python that the server will use: that of a uenv, a container
# or a module. The login node may have none of these.
#
# The script bootstrap.sh does this in its own process in the job, where no function of the user's
# hides a command. It also runs in the step of a uenv or container, so all of its functions are
# POSIX sh. It prints the directory of the environment to activate, if one is needed. pip's output
# goes to the server's log.

# cscs_may_provide: succeeds if bootstrap.sh has to search for the server's program.
cscs_may_provide() { [[ -n $cscs_package && (-n $cscs_bootstrap || -z $cscs_venv) ]]; }

# cscs_write_bootstrap WHERE: writes bootstrap.sh; WHERE is its place in messages.
cscs_write_bootstrap() {
	local site=''
	# Packages of the uenv or the image need not be installed again.
	((${#cscs_step_args[@]} == 0)) || site=--system-site-packages
	(
		umask 077
		{
			printf '%s\n' 'unset -f cat date exec exit grep ls mkdir printf python3 read rm sleep tr'
			declare -f cscs_fail cscs_has_program cscs_is_incomplete cscs_note cscs_python cscs_run_bootstrap cscs_has_venv \
				cscs_name_venv cscs_lock_venv cscs_try_lock cscs_make_venv cscs_run_pip cscs_report_pip cscs_fail_bootstrap
			cscs_print_assignment '' cscs_dir "$cscs_dir"
			cscs_print_assignment '' cscs_where "$1"
			cscs_print_assignment '' cscs_package "$cscs_package"
			cscs_print_assignment '' cscs_program "$cscs_program"
			cscs_print_assignment '' cscs_bootstrap "$cscs_bootstrap"
			cscs_print_assignment '' cscs_venv "${cscs_venv/#\~/$HOME}"
			cscs_print_assignment '' cscs_site "$site"
			# Each uenv and each image has its own Python.
			cscs_print_assignment '' cscs_key "${cscs_step_args[*]} $cscs_environment"
			printf '%s\n' cscs_run_bootstrap
		} >"$cscs_dir/bootstrap.sh"
	) || cscs_fail "cannot write in $cscs_dir"
}

# From here on: POSIX sh. These functions run in bootstrap.sh.

# cscs_note MESSAGE: reports it to the client.
cscs_note() {
	printf 'note\tmessage=%s\n' "$(printf %s "$1" | tr -d '[:cntrl:]')" >>"$cscs_dir/events"
} 2>/dev/null

# cscs_python CODE [WORD]...: runs Python code. PYTHONPATH and the server's directory have no effect
# on it.
cscs_python() { python3 -I -c "$@"; }

# cscs_is_incomplete DIRECTORY: succeeds if cscs has begun an installation there and not finished
# it. An environment cannot be renamed, since its programs contain its path. So a file beside it
# marks it as incomplete.
cscs_is_incomplete() { [ -e "${1%/}.incomplete" ]; }

# shellcheck disable=SC2154 # these variables are assigned where the functions run
cscs_run_bootstrap() {
	cscs_target=${cscs_venv%/}
	if [ -z "$cscs_target" ]; then
		! cscs_has_program "$cscs_program" || return 0
		cscs_name_venv || return 0
	fi
	case $cscs_target in
	/*) ;;
	*) cscs_target=$PWD/$cscs_target ;;
	esac
	if ! cscs_has_venv; then
		[ -n "$cscs_bootstrap" ] || return 0
		cscs_has_program python3 || cscs_fail "--bootstrap needs python3, which was not found $cscs_where (PATH=$PATH)"
		cscs_lock_venv || cscs_make_venv
	fi
	[ "${VIRTUAL_ENV:-}" = "$cscs_target" ] || printf '%s\n' "$cscs_target"
}

# cscs_has_venv: succeeds if the environment cscs_target has the program and is complete. Its Python
# can be gone: that of a module or uenv.
cscs_has_venv() {
	[ -x "$cscs_target/bin/$cscs_program" ] && [ -x "$cscs_target/bin/python" ] && [ -r "$cscs_target/bin/activate" ] &&
		! cscs_is_incomplete "$cscs_target"
}

# cscs_name_venv: sets cscs_target to the directory for this Python. Clusters of several
# architectures can share the home directory. Fails without a Python.
# shellcheck disable=SC2154 # likewise
cscs_name_venv() {
	cscs_item=$(cscs_python 'import platform, sys, zlib
key = (sys.base_prefix + "\n" + sys.argv[1]).encode("utf-8", "surrogateescape")
print("%s-py%d.%d-%08x" % (platform.machine(), sys.version_info[0], sys.version_info[1], zlib.crc32(key)))' "$cscs_key" 2>/dev/null) || {
		[ -z "$cscs_bootstrap" ] || cscs_fail "--bootstrap needs python3, which was not found $cscs_where (PATH=$PATH)"
		return 1
	}
	cscs_target=${HOME:-}/.cscs-venvs/$cscs_package-$cscs_item
}

# cscs_lock_venv: takes the lock of the environment, on the file that marks it. If several sessions
# make the same environment, the others wait. Succeeds if another session has made it in the
# meantime.
cscs_lock_venv() {
	cscs_item=${cscs_target%/*}
	mkdir -p "${cscs_item:-/}" 2>/dev/null
	cscs_looks=0
	until cscs_has_venv; do
		cscs_made=''
		! (set -C && : >"$cscs_target.incomplete") 2>/dev/null || cscs_made=1
		# A full file system often makes a file and refuses its first byte (cscs_make_venv).
		(: >>"$cscs_target.incomplete") 2>/dev/null || cscs_fail "--bootstrap cannot write in ${cscs_item:-/} $cscs_where"
		exec 9>>"$cscs_target.incomplete"
		cscs_try_lock
		case $? in
		0) return 1 ;;
		4) ;; # the process that had the lock has removed the file
		3)
			[ "$cscs_looks" != 0 ] || cscs_note "another session installs $cscs_package in $cscs_target: this one waits for it"
			# The client does not give up a server that writes to its log (cscs_report_work).
			[ $((cscs_looks % 4)) != 0 ] || printf 'cscs: another session installs %s in %s\n' "$cscs_package" "$cscs_target" >&2
			cscs_looks=$((cscs_looks + 1))
			sleep 3
			;;
		*)
			# On a file system without locks, the file itself is the lock.
			[ -z "$cscs_made" ] || return 1
			cscs_fail "--bootstrap finds $cscs_target.incomplete $cscs_where, and that file system has no locks: remove the file, unless another session installs $cscs_package now"
			;;
		esac
		exec 9>&-
	done
}

# cscs_try_lock: takes the lock on descriptor 9, which this shell keeps open. Its status is 3 if
# another process has the lock, and 4 if the descriptor's file was removed or replaced.
cscs_try_lock() {
	cscs_python 'import fcntl, os, sys
try:
    fcntl.flock(9, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    sys.exit(3)
except OSError as e:
    sys.exit("cscs: lock: %s" % e)
try:
    same = os.path.samestat(os.fstat(9), os.stat(sys.argv[1]))
except FileNotFoundError:
    same = False
sys.exit(0 if same else 4)' "$cscs_target.incomplete"
}

# cscs_make_venv: makes the environment, or adds the program to one of the user's. If the file that
# marks it has text, cscs has made the directory and may empty it.
# shellcheck disable=SC2086,SC2154 # cscs_site is one word or none
cscs_make_venv() {
	cscs_fresh=''
	if [ -s "$cscs_target.incomplete" ] || [ ! -e "$cscs_target" ] || [ -z "$(ls -A "$cscs_target" 2>/dev/null)" ] ||
		{ [ -f "$cscs_target/.made-by-cscs" ] && [ ! -x "$cscs_target/bin/python" ]; }; then
		cscs_fresh=1
		printf 'made by cscs\n' >&9 || cscs_fail_bootstrap "cannot write $cscs_target.incomplete"
	elif [ ! -r "$cscs_target/bin/activate" ]; then
		rm -f "$cscs_target.incomplete"
		cscs_fail "$cscs_target is not a virtual environment $cscs_where, and not empty: choose another directory with --venv"
	fi
	# A pip that is killed leaves its temporary files. The next --bootstrap removes them here; in
	# /tmp they would stay.
	TMPDIR=$cscs_target.incomplete.tmp
	rm -rf "$TMPDIR"
	mkdir "$TMPDIR" || cscs_fail_bootstrap "cannot make $TMPDIR"
	export TMPDIR
	cscs_note "pip installs $cscs_package in $cscs_target $cscs_where; this happens once (after an interruption, the next --bootstrap begins there again)"
	if [ -n "$cscs_fresh" ]; then
		cscs_run_pip python3 -m venv --clear $cscs_site "$cscs_target" || cscs_fail_bootstrap
		: >"$cscs_target/.made-by-cscs"
	fi
	# In a virtual environment, --user of the user's pip.conf is an error, or installs elsewhere.
	PIP_USER=0 cscs_run_pip "$cscs_target/bin/python" -I -m pip install --no-input --disable-pip-version-check --progress-bar off "$cscs_package" ||
		cscs_fail_bootstrap
	[ -x "$cscs_target/bin/$cscs_program" ] || cscs_fail_bootstrap "$cscs_package has no program $cscs_program"
	rm -rf "$TMPDIR"
	rm -f "$cscs_target.incomplete" || cscs_fail_bootstrap "cannot remove $cscs_target.incomplete"
	cscs_note "$cscs_package is installed in $cscs_target: later sessions use it"
}

# cscs_run_pip COMMAND...: runs it with its output in the log. If it fails, cscs_reason is its last
# error.
cscs_run_pip() {
	cscs_command=$*
	cscs_reason=$({
		"$@" 2>&1 </dev/null
		printf '\n\034%d\n' "$?"
	} | cscs_report_pip)
	cscs_pip_code=${cscs_reason%%:*} cscs_reason=${cscs_reason#*:}
	[ "$cscs_pip_code" = 0 ]
}

# cscs_report_pip: copies pip's output to the log and reports the progress at intervals. Prints
# pip's exit status, a colon and its last error, or its last line.
cscs_report_pip() {
	cscs_mark=$(printf '\034') cscs_pip_code=1 cscs_last='' cscs_error='' cscs_count=0 cscs_time=$(date +%s)
	while IFS= read -r cscs_output; do
		case $cscs_output in
		"$cscs_mark"*)
			cscs_pip_code=${cscs_output#?}
			break
			;;
		*[![:space:]]*) cscs_last=$cscs_output ;;
		*) continue ;;
		esac
		printf '%s\n' "$cscs_output" >&2
		case $cscs_output in
		[Ee][Rr][Rr][Oo][Rr]:*) cscs_error=$cscs_output ;;
		'Installing collected packages'*) cscs_note "pip has all $cscs_count packages and unpacks them" ;;
		Collecting' '* | Processing' '*)
			cscs_count=$((cscs_count + 1)) cscs_item=$(date +%s)
			if [ $((cscs_item - cscs_time)) -ge 10 ]; then
				cscs_time=$cscs_item
				cscs_note "pip has found $cscs_count packages, the last is ${cscs_output#* }"
			fi
			;;
		esac
	done
	printf '%s:%s' "$cscs_pip_code" "${cscs_error:-$cscs_last}"
}

# cscs_fail_bootstrap [MESSAGE]: ends cscs_make_venv with an error. Removes what it has made,
# because a full file system needs the space.
cscs_fail_bootstrap() {
	rm -rf "$cscs_target.incomplete.tmp"
	[ -z "$cscs_fresh" ] || rm -rf "$cscs_target"
	{ [ -n "$cscs_fresh" ] && [ -e "$cscs_target" ]; } || rm -f "$cscs_target.incomplete"
	cscs_fail "--bootstrap failed $cscs_where: ${1:-$cscs_reason (command: $cscs_command)}"
}
