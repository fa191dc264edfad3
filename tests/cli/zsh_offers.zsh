#!/usr/bin/env zsh
# What zsh offers for a line, one word a line: types the line and a tab in an interactive zsh of its own.
# usage: zsh_offers.zsh FOLDER_WITH_VORTEX FILE_OF_COMPLETIONS LINE
zmodload zsh/zpty
folder=$1 completions=$2 line=$3
zpty shell "env -i TERM=dumb HOME=/nonexistent PATH=$folder:$PATH zsh -f -i"
# Offers come as a list between marks, whatever the terminal would show: compadd tells each word that matches.
zpty -w shell 'PS1=; autoload -Uz compinit; compinit -u -D; source '"$completions"'; zmodload zsh/zle
compadd() { local -a matched; builtin compadd -O matched "$@"; offered+=($matched); builtin compadd "$@" }
told() { print -r -- "<<"; print -rl -- $offered; print -r -- ">>"; exit }
offer() { offered=(); zle complete-word }
show() { zle -I; told }
zle -C complete-word complete-word _main_complete; zle -N offer; zle -N show
bindkey "^I" offer; bindkey "^X" show; print ready'
while zpty -r shell answer; do [[ $answer == *ready* && $answer != *print* ]] && break; done
zpty -n -w shell "$line"$'\t\x18'
inside=
while zpty -r shell answer; do
  answer=${answer//$'\r'/}
  answer=${answer%$'\n'}
  [[ $answer == *'>>' ]] && break
  [[ -n $inside ]] && print -r -- "$answer"
  [[ $answer == *'<<' ]] && inside=1
done
zpty -d shell
