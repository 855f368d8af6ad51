# shellcheck shell=bash
# Follows jobs by their event streams and draws them: one line a job, redrawn in place on a terminal. To be sourced.

labels=()
statuses=()
percents=()
errors=()
watched=   # Where the watchers report: lines of "JOB EVENT".

# watch_job LABEL STREAM_URL: follows one more job in the background.
watch_job() {
  local job=${#labels[@]}
  labels+=("$1") statuses+=(QUEUED) percents+=(0) errors+=('')
  [[ -n $watched ]] || open_pipe
  { events "$2" | sed -u "s/^/$job /"; } >&"$watched" &
}

# A pipe without a name, open at both ends: reading it never ends before every watcher has said so.
open_pipe() {
  local folder
  folder=$(mktemp -d)
  mkfifo -- "$folder/events"
  exec {watched}<>"$folder/events"
  rm -r -- "$folder"
}

# The JSON of each event of a stream, then END.
events() {
  curl -sSN --fail "$1" | sed -un 's/^data: \{0,1\}//p' || true
  echo END
}

# Draws every watched job until all have ended. 1 unless all completed; says why.
show_progress() {
  local job event open=${#labels[@]} failed=0
  if [[ -t 1 ]]; then draw_all; fi
  while ((open)) && read -r job event <&"$watched"; do
    if [[ $event == END ]]; then open=$((open - 1)); else note_event "$job" "$event"; fi
    if [[ -t 1 ]]; then printf '\e[%sA' "${#labels[@]}" && draw_all; fi
  done
  for job in "${!labels[@]}"; do
    [[ ${statuses[job]} == COMPLETED ]] && continue
    failed=1
    say "${labels[job]} failed: ${errors[job]:-the control plane has gone away}" >&2
  done
  return $failed
}

# note_event JOB JSON: remembers what it says. Where nothing is drawn, a new status and each tenth is a line.
note_event() {
  local job=$1 old=${statuses[$1]}$((percents[$1] / 10))
  [[ $2 =~ \"status\":\"JOB_STATUS_([A-Z]+)\" ]] && statuses[job]=${BASH_REMATCH[1]}
  [[ $2 =~ \"progress\":([0-9]+) ]] && percents[job]=${BASH_REMATCH[1]}
  errors[job]=$(json_text error "$2")
  [[ -t 1 || ${statuses[job]}$((percents[job] / 10)) == "$old" ]] ||
    say "${labels[job]}: ${percents[job]} %, $(words "${statuses[job]}")"
}

draw_all() {
  local job
  for job in "${!labels[@]}"; do draw "${labels[job]}" "${percents[job]}" "$(words "${statuses[job]}")"; done
}

# draw LABEL PERCENT WORDS
draw() {
  local width=40 bar
  printf -v bar '%*s' $(($2 * width / 100)) ''
  printf '\r\e[K%-11s [%-*s] %3d %%  %s\n' "$1" "$width" "${bar// /#}" "$2" "$3"
}

# What a status means to a person.
words() {
  case $1 in
    QUEUED) say "waiting" ;;
    PROCESSING) say "encoding" ;;
    UPLOADING) say "publishing" ;;
    COMPLETED) say "done" ;;
    *) say "${1,,}" ;;
  esac
}

# json_text FIELD JSON: a string of a flat JSON object, without what could play tricks on a terminal.
json_text() {
  local pattern='"'$1'":"((\\.|[^"\\])*)"'
  [[ $2 =~ $pattern ]] || return 0
  printf '%b' "${BASH_REMATCH[1]//\\\"/\"}" | tr -d '[:cntrl:]'
}
