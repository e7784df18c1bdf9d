//go:build unix

package e2e

// A startupFile is what a start-up file of the user's does, as reports of other programs describe it; none is a copy. TestStartupFiles runs all of them; docs/reliability.md lists them.
type startupFile struct {
	name   string
	source string // where it was reported
	shell  string // the login shell
	file   string // "both": ~/.bashrc, and a ~/.bash_profile that reads it
	text   string
	want   string            // the problem, by its ID, before anything is requested; "": it works
	line   string            // the line of the file that the problem names
	sees   map[string]string // variables that the server has
	alone  bool              // with sees: it has a session of its own, not one with the others
}

const vscode, both = "microsoft/vscode-remote-release#", "both"

var startupFiles = []startupFile{
	// Another shell.
	{name: "exec-zsh-login", source: vscode + "4090", shell: "bash", file: ".bashrc", text: "export SHELL=/usr/bin/zsh\nexec $SHELL -l\n",
		want: "remote-inner", line: "2"},
	{name: "fish-last", source: "microsoft/vscode#172770", shell: "bash", file: ".bashrc", text: "export A=1\n/usr/bin/fish\n", want: "remote-inner", line: "2"},
	{name: "exec-fish-profile", source: vscode + "182", shell: "bash", file: ".bash_profile", text: "export SHELL=/usr/bin/fish\nexec /usr/bin/fish -l\n",
		want: "login-shell", line: "2"},
	{name: "exec-fish-once", source: "fish-shell/fish-shell#8036", shell: "bash", file: ".bash_profile",
		text: "if command -v fish >/dev/null; then\n\tSHELL=$(command -v fish)\n\t[ -n \"$FISH_VERSION\" ] || exec \"$SHELL\" -l\nfi\n", want: "login-shell", line: "3"},
	{name: "exec-zsh-for-persons", source: "fish-shell/fish-shell#8036 (the answer)", shell: "bash", file: both, text: "[[ $- = *i* ]] && exec zsh\nexport KEPT=yes\n",
		sees: map[string]string{"KEPT": "yes"}},
	{name: "bash-in-tcsh", source: vscode + "2509", shell: "tcsh", file: ".cshrc", text: "setenv A 1\nexec bash\n", want: "remote-inner", line: "2"},
	{name: "newgrp", source: "canonical/lxd#17004", shell: "bash", file: ".bashrc", text: "umask 027\n[ -n \"$NEW\" ] || NEW=1 exec newgrp alice\n", want: "remote-inner", line: "2"},
	{name: "agent-shell", source: "warpdotdev/warp#5756 (in the form ssh-agent bash)", shell: "bash", file: ".bashrc", text: "[ -n \"$SSH_AGENT_PID\" ] || exec ssh-agent bash\n", want: "remote-inner", line: "1"},
	{name: "tmux-for-persons", source: vscode + "1818", shell: "bash", file: ".bashrc",
		text: "if command -v tmux >/dev/null && [ -n \"$PS1\" ] && [ -z \"$TMUX\" ]; then\n  exec tmux\nfi\n"},
	{name: "exec-tmux", source: vscode + "14", shell: "bash", file: ".bashrc", text: "exec tmux new -A -s main\n", want: "remote-shell"},
	{name: "screen", source: "tg-z/web-clip#1045", shell: "bash", file: both, text: "screen -R 2>/dev/null || echo no screen\n"},

	// What ends or holds it up.
	{name: "set-e", source: "nvm-sh/nvm#1062", shell: "bash", file: both, text: "set -e\nexport LATE=1\n", sees: map[string]string{"LATE": "1"}, alone: true},
	{name: "set-e-and-fails", source: "nvm-sh/nvm#3721", shell: "bash", file: ".bashrc", text: "set -e\n[ -s ~/.nvm/nvm.sh ] && . ~/.nvm/nvm.sh\nfalse\n", want: "remote-shell"},
	{name: "set-u", source: "nvm-sh/nvm#868", shell: "bash", file: both, text: "set -o nounset\n"},
	{name: "exit-if-not-interactive", source: "mscdex/ssh2#1382", shell: "bash", file: ".bashrc", text: "case $- in *i*) ;; *) exit ;; esac\n", want: "remote-shell"},
	{name: "return-if-not-interactive", source: "conda/conda#8072", shell: "bash", file: ".bashrc", text: "case $- in\n*i*) ;;\n*) return ;;\nesac\necho hello\n"},
	{name: "return-without-prompt", source: "rupa/z#104", shell: "bash", file: ".bashrc", text: "[ -z \"$PS1\" ] && return\nfortune\n"},
	{name: "exits-in-profile", source: "torch2424/dotFiles#7", shell: "bash", file: ".bash_profile", text: "[[ $- == *i* ]] || exit 0\n", want: "login-shell", line: "1"},
	{name: "asks", source: "asbru-cm/asbru-cm#657", shell: "bash", file: both, text: "read -p 'Which project? ' PROJECT\nexport PROJECT=${PROJECT:-none}\n",
		sees: map[string]string{"PROJECT": "none"}, alone: true},
	{name: "asks-twice", source: "perfsonar/toolkit#66", shell: "bash", file: ".bashrc", text: "read -r -n 1 -p 'Continue? ' a; read -r -s -p 'Password: ' b\n"},
	{name: "reads-all", source: "huashengdun/webssh#262", shell: "bash", file: ".bashrc", text: "cat >/dev/null\n", want: "remote-shell"},

	// What prints, and wants a terminal.
	{name: "motd", source: "mutagen-io/mutagen#393", shell: "bash", file: both, text: "echo 'Welcome'; printf 'quota: 99%%'\n"},
	{name: "rust-env", source: "rust-lang/rustup#498", shell: "bash", file: both, text: "printf 'PATH is set\\n\\n'; export PATH=\"$HOME/.cargo/bin:$PATH\"\n"},
	{name: "stty", source: "LukeSmithxyz/voidrice#394", shell: "bash", file: both, text: "stty -ixon\nstty erase '^?'\n"},
	{name: "tput-clear", source: "liquidprompt/liquidprompt#291", shell: "bash", file: both, text: "bold=$(tput bold)\nclear\ntput cup 0 0\nmesg n\n"},
	{name: "bad-locale", source: "akinomyoga/ble.sh#81", shell: "bash", file: both, text: "export LC_ALL=xx_YY.UTF-8\n", sees: map[string]string{"LC_ALL": "xx_YY.UTF-8"}},
	{name: "exit-trap", source: "magicmonty/bash-git-prompt#285", shell: "bash", file: both, text: "trap 'echo failed: $?' ERR\ntrap 'echo bye' EXIT\nfalse\n"},
	{name: "starship", source: "starship/starship#3785", shell: "bash", file: both, text: "eval \"$(starship init bash 2>/dev/null)\"\nPROMPT_COMMAND='starship_precmd'\n"},

	// Functions and aliases with names of commands.
	{name: "cd-lists", source: "victoriadrake/dotfiles#1", shell: "bash", file: both, text: "cd() { builtin cd \"$1\" || echo \"no $1\"; ls; }\nexport -f cd\n",
		sees: map[string]string{"BASH_FUNC_cd%%": "() {"}},
	{name: "cd-alias", source: "scmbreeze/scm_breeze#64", shell: "bash", file: both, text: "shopt -s expand_aliases\nalias cd='nosuchcommand cd' exec='echo' bash='echo' read='false'\n"},
	{name: "rm-asks", source: "arnognulf/bashish#1", shell: "bash", file: both, text: "shopt -s expand_aliases\nalias rm='rm -i' cp='cp -i' mv='mv -i' ls='ls --color'\n"},
	{name: "rm-asks-function", source: "nvbn/thefuck#375", shell: "bash", file: both, text: "rm() { command rm -i \"$@\"; }\nkill() { echo \"kill $*?\"; }\nhead() { false; }\nexport -f rm kill head\n",
		sees: map[string]string{"BASH_FUNC_rm%%": "() {", "BASH_FUNC_head%%": "() {"}},
	{name: "module-function", source: "ExaWorks/psij-python#268", shell: "bash", file: ".bashrc", text: "module() { echo \"module $*\"; }\nexport -f module\n",
		sees: map[string]string{"BASH_FUNC_module%%": "() {"}},
	{name: "slurm-wrappers", source: "bash(1), squeue(1)", shell: "bash", file: both, text: "squeue() { command squeue --me \"$@\"; }\nsrun() { echo \"srun $*\"; }\nexport -f squeue srun\n",
		sees: map[string]string{"BASH_FUNC_squeue%%": "() {"}},

	// Options and variables that change what a shell does.
	{name: "noclobber", source: "huyng/bashmarks#80", shell: "bash", file: both, text: "set -o noclobber\n"},
	{name: "failglob", source: "scop/bash-completion#705", shell: "bash", file: both, text: "shopt -s failglob nullglob extdebug\n"},
	{name: "posix", source: "rbenv/rbenv#265", shell: "bash", file: both, text: "export POSIXLY_CORRECT=1\n", sees: map[string]string{"POSIXLY_CORRECT": "1"}, alone: true},
	{name: "ifs", source: "rcaloras/bash-preexec#64", shell: "bash", file: both, text: "IFS=_\n"},
	{name: "debug-trap", source: "atuinsh/atuin#3501", shell: "bash", file: both, text: "preexec() { [[ -t 1 ]] || return 0; }\nset -T\ntrap 'preexec \"$_\"' DEBUG\ntrap 'echo failed' ERR\n"},
	{name: "tmout", source: "akinomyoga/ble.sh#129", shell: "bash", file: both, text: "[ -n \"$TMOUT\" ] || export TMOUT=900\nreadonly TMOUT\n", sees: map[string]string{"TMOUT": "900"}},
	{name: "bash-env", source: "TACC/Lmod#676", shell: "bash", file: both, text: "echo 'echo from BASH_ENV; cd() { false; }; umask 0' >~/.bashenv\nexport BASH_ENV=~/.bashenv ENV=~/.bashenv\n"},
	{name: "cdpath", source: "shopware/recipes#128", shell: "bash", file: both, text: "export CDPATH=.:$HOME:/tmp\n", sees: map[string]string{"CDPATH": ".:/home/alice:/tmp"}},
	{name: "grep-options", source: "nvie/gitflow#344", shell: "bash", file: both, text: "export GREP_OPTIONS='-n --color=always' GREP_COLOR='37;45'\n"},
	{name: "umask-and-hup", source: "bash(1)", shell: "bash", file: both, text: "umask 077\ntrap '' HUP\n"},
	{name: "limits", source: "openSUSE/obs-build#854", shell: "bash", file: both, text: "ulimit -v 8000000; ulimit -n 256; ulimit -c 0\n"},
	{name: "elsewhere", source: "ros/catkin#542", shell: "bash", file: both, text: "cd /tmp\n", sees: map[string]string{"PWD": "/home/alice"}},
	{name: "conda", source: "conda/conda#7980", shell: "bash", file: both,
		text: "__conda=$('/opt/venv/bin/nosuch' 'shell.bash' 'hook' 2>/dev/null)\nif [ $? -eq 0 ]; then eval \"$__conda\"; else export PATH=\"/opt/venv/bin:$PATH\"; fi\nunset __conda\n"},

	// Other shells.
	{name: "zsh", source: "bahamas10/sshp#14", shell: "zsh", file: ".zshenv", text: "export ZDOTDIR=$HOME ZSEEN=1\nalias exec='echo exec' env='echo env'\nsetopt nomatch\n",
		sees: map[string]string{"ZSEEN": "1"}, alone: true},
	{name: "zsh-prints", source: "sorin-ionescu/prezto#1340", shell: "zsh", file: ".zshenv", text: "echo executing zshenv\ncd() { builtin cd \"$@\" && ls }\nexec() { echo no }\n"},
	{name: "zsh-exec-bash", source: "hassio-addons/app-ssh#77", shell: "zsh", file: ".zshenv", text: "[[ -n $INNER ]] && return\nexport INNER=1\nexec bash\n", want: "remote-inner", line: "3"},
	{name: "fish", source: "fish-shell/fish-shell#623", shell: "fish", file: ".config/fish/config.fish", text: "echo hello from fish\nset -gx FSEEN 1\nfunction cd; echo no; end\nalias exec 'echo no'\n",
		sees: map[string]string{"FSEEN": "1"}, alone: true},
	{name: "fish-keys", source: "fish-shell/fish-shell#4432", shell: "fish", file: ".config/fish/config.fish", text: "fish_vi_key_bindings\nstatus is-interactive; or return\nexec zsh\n"},
	{name: "fish-exec-zsh", source: "fish-shell/fish-shell#3473", shell: "fish", file: ".config/fish/config.fish", text: "echo hi\nexec zsh -l\n", want: "remote-inner", line: "2"},
	{name: "tcsh", source: vscode + "19", shell: "tcsh", file: ".cshrc", text: "setenv CSEEN 1\nalias exec 'echo no'\nalias cd 'cd \\!*; ls'\nset noclobber\n", sees: map[string]string{"CSEEN": "1"}, alone: true},
	{name: "tcsh-prints", source: "Keck-DataReductionPipelines/OsirisDRP#13", shell: "tcsh", file: ".cshrc", text: "echo setup done\nstty erase ^H\nif (! $?prompt) exit\nexec zsh\n"},
}
