# The line of the user's start-up files that is in the way. The client also sends this file alone,
# to a shell that such a line has started (slurm/startup.go).

# cscs_find_start SHELL: finds the line of a start-up file that starts SHELL, or a program that
# starts the user's shell. Sets REPLY to the fields file, line and text, each after a tab; empty if
# there is none.
cscs_find_start() {
	local file line n at text re="${1//[!A-Za-z0-9_-]/.}" before after files=()
	before='(^|[;&|({]|(^|[[:space:];&|({])(then|else|do|exec|if|and|command|builtin|nohup)[[:space:]])[[:space:]]*'
	after='([];&)}[:space:]|]|$)'
	re="$before(-[[:alnum:]-]+[[:space:]]+)*(\"?[^][:space:]=;&|({\"#]*/)?\"?(${re:-bash}|newgrp|sg|su|uenv|script|ssh-agent|[$]\\{?SHELL\\}?)\"?$after"
	REPLY=''
	cscs_startup_files
	for file in "${files[@]}"; do
		[[ -f $file && -r $file ]] || continue
		n=0 at=''
		while IFS= read -r line || [[ -n $line ]]; do
			((++n))
			[[ $line == *([[:space:]])'#'* || ! $line =~ $re ]] || at=$n text=$line
		done <"$file"
		[[ -n $at ]] || continue
		cscs_format_start "$file" "$at" "$text"
		return
	done
}

# cscs_format_start FILE LINE TEXT: sets REPLY to these fields.
cscs_format_start() {
	local file=$1 text=${3##*([[:space:]])}
	[[ $file != "$HOME"/* ]] || file="~${file#"$HOME"}"
	text=${text%%*([[:space:]])}
	text=${text//[[:cntrl:]]/ }
	REPLY=$'\t'file=$file$'\t'line=$2$'\t'text=${text:0:200}
}

# cscs_startup_files: fills the caller's array files with the files that the login shell can read,
# its own first. The shell that reads sshd's command is neither an interactive nor a login shell.
cscs_startup_files() {
	local bash=(~/.bashrc /etc/bash.bashrc /etc/bash.bashrc.local /etc/bashrc ~/.bash_profile ~/.bash_login ~/.profile ~/.bash_aliases)
	local zsh=("${ZDOTDIR:-$HOME}/.zshenv" /etc/zsh/zshenv /etc/zshenv ~/.zshrc ~/.zprofile)
	local csh=(~/.tcshrc ~/.cshrc /etc/csh.cshrc ~/.login)
	local fish=("${XDG_CONFIG_HOME:-$HOME/.config}"/fish/config.fish "${XDG_CONFIG_HOME:-$HOME/.config}"/fish/conf.d/*.fish /etc/fish/config.fish)
	case ${SHELL##*/} in
	zsh) files=("${zsh[@]}") ;;
	csh | tcsh) files=("${csh[@]}") ;;
	fish) files=("${fish[@]}") ;;
	esac
	files+=("${bash[@]}" "${zsh[@]}" "${csh[@]}" "${fish[@]}")
}

# cscs_report_inner: runs in its own shell, whose parent is a shell that a start-up file has started
# and that reads our script. It reports the parent and the line. It then reads the rest of the
# input, so that no shell runs it.
cscs_report_inner() {
	local name=''
	{ IFS= read -r name <"/proc/$PPID/comm"; } 2>/dev/null
	cscs_find_start "$name"
	printf '\n\036cscs/1 inner\tshell=%s%s\n' "$name" "$REPLY"
	exec cat >/dev/null
}

# cscs_may_end: succeeds if a start-up file of a login shell such as launch's has a line that can
# end it: exec or exit. Fails if a file depends on the host or the job, because this is another host
# and no job.
cscs_may_end() {
	local file line found=''
	for file in ~/.bash_profile ~/.bash_login ~/.profile ~/.bashrc; do
		[[ -f $file && -r $file ]] || continue
		while IFS= read -r line || [[ -n $line ]]; do
			[[ $line != *([[:space:]])'#'* ]] || continue
			[[ $line != *[Hh][Oo][Ss][Tt]* && $line != *SLURM* && $line != *uname* ]] || return 1
			[[ ! $line =~ (^|[[:space:];\&|({])(exec|exit|logout)([[:space:]\;\&)}]|$) ]] || found=1
		done <"$file"
	done
	[[ -n $found ]]
}
