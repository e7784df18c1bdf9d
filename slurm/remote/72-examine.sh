# examine: reports on the login node, the home directory and Slurm, for cscs doctor. Each of Slurm's
# commands has its own time limit, and all of them run at the same time.

# cscs_examine_home: reports whether a session's files can be written, by writing one.
cscs_examine_home() {
	local file=$HOME/.cscs-doctor-$cscs_nonce err='' room=''
	# A full disk accepts an empty file.
	err=$({ head -c 65536 /dev/zero >"$file"; } 2>&1) || err=${err:-it cannot be written}
	rm -f "$file"
	{ read -r _ && read -r _ _ _ _ room _; } < <(df -Pk "$HOME" 2>/dev/null)
	cscs_say home "path=$HOME" "used=${room%\%}" "error=${err##*: }"
}

# cscs_examine_logins: reports how many logins the user has on this host, and may have
# (limits.conf(5)).
cscs_examine_logins() {
	local f line words n=0 most='' domain item value
	for f in /proc/[0-9]*/cmdline; do
		line=''
		{ IFS= read -r -d '' line <"$f"; } 2>/dev/null || [[ -n $line ]] || continue
		line=${line%%+( )} # padding for longer names
		# sshd's process for a connection has the user's name in its title.
		[[ $line != sshd*": $cscs_user"?(@*) ]] || ((++n))
	done
	for f in /etc/security/limits.conf /etc/security/limits.d/*.conf; do
		[[ -r $f ]] || continue
		while read -r -a words; do
			domain=${words[0]:-} item=${words[2]:-} value=${words[3]:-}
			[[ $item == maxlogins && $value == +([0-9]) ]] || continue
			[[ $domain != "$cscs_user" && $domain != '*' ]] || most=$value
		done <"$f"
	done
	cscs_say logins "now=$n" "most=$most"
}

# cscs_report_lines KIND: reports each line of standard input.
cscs_report_lines() {
	local line
	while IFS= read -r line; do
		[[ -z $line ]] || cscs_say "$1" "answer=$line"
	done
}

# cscs_slurm_of LIMIT COMMAND…: prints the command's exit status, and its output or error message.
cscs_slurm_of() {
	local out code
	out=$(cscs_exec_query timeout "$1" "${@:2}" 2>&1 </dev/null)
	code=$?
	printf '%s\n%s\n' "$code" "$out"
}

cscs_examine() {
	local code queue parts accounts startup
	cscs_find_user
	cscs_say host "host=${HOSTNAME%%.*}" "user=$cscs_user" "shell=${SHELL##*/}" "bash=$BASH_VERSION" "now=$(date +%s%N)"
	exec {startup}< <(cscs_try_login_shell; printf '%s\n' "$REPLY")
	cscs_examine_home
	cscs_examine_logins
	cscs_find_slurm
	cscs_say slurm "version=$(cscs_exec_query squeue --version 2>/dev/null)"
	exec {parts}< <(cscs_slurm_of 5 sinfo --local --noheader --format='%P|%a|%l|%D|%T')
	exec {queue}< <(cscs_slurm_of 5 squeue --local --noheader --user="$cscs_user" --format='%i|%T|%r|%S|%e|%P|%a|%N|%j')
	exec {accounts}< <(cscs_slurm_of 5 sacctmgr --noheader --parsable2 show associations user="$cscs_user" format=account,maxjobs,maxsubmit)
	read -r code <&"$parts"
	cscs_say answered by=sinfo "code=$code"
	cscs_report_lines partition <&"$parts"
	read -r code <&"$queue"
	cscs_say answered by=squeue "code=$code"
	cscs_report_lines job <&"$queue"
	read -r code <&"$accounts"
	cscs_say answered by=sacctmgr "code=$code"
	cscs_report_lines account <&"$accounts"
	cat <&"$startup"
	cscs_say examined
}
