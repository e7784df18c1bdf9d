
# shellcheck shell=bash disable=SC2034 # the variables are the caller's
# Without the bash-completion package, the words are taken from bash itself, which breaks them at
# "=" and ":" (COMP_WORDBREAKS). This sets words, cword, cur and prev of the caller.
__cscs_init_completion()
{
    local i word line=${COMP_LINE:0:COMP_POINT} rest

    COMPREPLY=()
    if declare -F _get_comp_words_by_ref >/dev/null 2>&1; then
        _get_comp_words_by_ref "$@" cur prev words cword
        return
    fi
    words=() cword=-1
    for ((i = 0; i <= COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        rest=${line#"${line%%[![:space:]]*}"}
        if ((i == COMP_CWORD)); then
            word=$rest # up to the cursor
        fi
        # What no blank separates is one word, if "=" or ":" is where it was broken.
        if ((cword >= 0)) && [[ $rest == "$line" && ( $word == [=:]* || ${words[cword]} == *[=:] ) ]]; then
            words[cword]+=$word
        else
            words[++cword]=$word
        fi
        line=${rest#"$word"}
    done
    cur=${words[cword]}
    prev=
    if ((cword > 0)); then
        prev=${words[cword - 1]}
    fi
}
