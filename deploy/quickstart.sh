#!/usr/bin/env bash
# Builds the service, starts it on this machine and encodes a video with it. See usage() or --help.
set -euo pipefail

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=deploy/lib/debian.sh
source "$root/deploy/lib/debian.sh"
# shellcheck source=deploy/lib/progress.sh
source "$root/deploy/lib/progress.sh"

usage() {
  cat <<'USAGE'
Usage: deploy/quickstart.sh [--serve] [FILE or URL]

Starts a control plane and two workers on this machine, and encodes a video to an MP4 and to an HLS ladder.
Without FILE or URL (http, https), it makes a clip of its own.

  --serve   leave everything running until Ctrl-C, and tell where
  --help    this text

Installs ffmpeg, curl, make and a C compiler with apt-get where they are missing; needs a Rust toolchain.
Results, logs and sources are kept in target/quickstart, in a folder of their own for each run.
Exits 0 when both encodes completed, 1 otherwise.
USAGE
}

serve=false
input=
run=            # Folder of this run.
api=            # URL of the control plane.
started=()      # Process ids of what must be stopped in the end.
worker_nodes=()

main() {
  trap clean_up EXIT
  # EXIT alone would not stop the script where a signal arrives.
  trap 'exit 130' INT
  trap 'exit 143' TERM HUP
  parse_arguments "$@"
  check_input
  install_tools
  build
  prepare_folders
  prepare_source
  start_service
  encode_both || die "not everything was encoded; the logs are in $run/logs"
  show_results
  if $serve; then serve_until_stopped; fi
}

parse_arguments() {
  while (($#)); do
    case $1 in
      --serve) serve=true ;;
      --help | -h) usage && exit 0 ;;
      --) shift && break ;;
      -*) usage >&2 && die "unknown option $1" ;;
      *) break ;;
    esac
    shift
  done
  (($# <= 1)) || { usage >&2 && die "one FILE or URL at most"; }
  input=${1-}
}

is_url() { [[ $1 == *://* ]]; }

# Before anything is installed or built: a slip of the keyboard should not cost ten minutes.
check_input() {
  [[ -n $input ]] || return 0
  if is_url "$input"; then
    [[ $input =~ ^https?://[^[:cntrl:][:space:]\"\\]+$ ]] || die "$input: give a file, or an http or https URL"
  else
    [[ -e $input ]] || die "$input: no such file"
    [[ -f $input ]] || die "$input: not a file"
    [[ -r $input ]] || die "$input: cannot be read"
    # The path must still hold after this script has changed its folder.
    input=$(readlink -f -- "$input")
  fi
}

install_tools() {
  ensure_rust
  ensure_ffmpeg
  ensure_command curl curl ca-certificates
}

build() {
  say "Building (about ten minutes the first time)"
  cd -- "$root"
  cargo build --release --locked --workspace --exclude e2e --exclude bench
  # Wherever cargo's configuration puts it.
  target=$(cargo metadata --locked --format-version 1 --no-deps | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')
  binaries=$target/release
}

# One folder a run: two runs at the same time never meet.
prepare_folders() {
  mkdir -p -- "$target/quickstart"
  run=$(mktemp -d -- "$target/quickstart/$(date +%Y%m%d-%H%M%S)-XXXX")
  mkdir -- "$run"/{input,output,logs,work-1,work-2}
}

# Sets input_url and name. A file is linked into the only folder that workers may read, under a plain name.
prepare_source() {
  if is_url "$input"; then
    input_url=$input
    name=${input%%[?#]*}
    name=$(plain_name "${name#*://}")
    return
  fi
  if [[ -z $input ]]; then
    input=$run/clip.mp4
    make_clip "$input"
  fi
  # A link costs nothing, but works only on the same disk and for files of one's own.
  ln -- "$input" "$run/input/source" 2>/dev/null || cp -- "$input" "$run/input/source"
  input_url=file://$(url_path "$run/input/source")
  name=$(plain_name "$input")
}

# The last part of a path without its extension, in letters that every player and storage takes.
plain_name() {
  local name=${1##*/}
  name=$(printf '%s' "${name%.*}" | LC_ALL=C tr -c 'A-Za-z0-9_-' '-' | sed 's/--*/-/g; s/^-//; s/-$//' | cut -c 1-60)
  printf '%s' "${name:-video}"
}

# A path as it stands in a URL: every byte but the harmless ones percent-encoded.
url_path() {
  local LC_ALL=C path=$1 i byte
  for ((i = 0; i < ${#path}; i++)); do
    byte=${path:i:1}
    case $byte in
      [A-Za-z0-9/._~-]) printf '%s' "$byte" ;;
      # A byte above 127 reads as a negative number.
      *) printf -v byte '%d' "'$byte" && printf '%%%02X' "$((byte & 255))" ;;
    esac
  done
}

make_clip() {
  say "Making a clip of 20 seconds"
  ffmpeg -nostdin -loglevel error -f lavfi -i testsrc2=size=1280x720:rate=30:duration=20 \
    -f lavfi -i sine=frequency=440:sample_rate=48000:duration=20 \
    -c:v libx264 -preset veryfast -pix_fmt yuv420p -c:a aac -shortest "$1"
}

start_service() {
  local n
  for n in 1 2; do
    start_on_free_port "worker-$n" GRPC_PORT "$binaries/worker" \
      WORKER_ID="worker-$n" WORK_DIR="$run/work-$n" STORAGE_TYPE=local LOCAL_STORAGE_DIR="$run/output" \
      INPUT_DIR="$run/input" INPUT_ALLOW_LOOPBACK=true DISABLE_AUTO_SHUTDOWN=true
    worker_nodes+=("127.0.0.1:$port")
  done
  start_on_free_port controlplane PORT "$binaries/controlplane" WORKER_NODES="$(IFS=, && echo "${worker_nodes[*]}")" \
    DATA_DIR="$run/data" MAX_QUEUED_JOBS=100
  api=http://127.0.0.1:$port
  say "Started a control plane ($api) and two workers (${worker_nodes[*]})"
}

# start_on_free_port NAME PORT_VARIABLE BINARY SETTING...: sets port. Another program may take a port between looking
# and binding, so a server that exits at once is tried again on another.
start_on_free_port() {
  local name=$1 variable=$2 binary=$3 log=$run/logs/$1.log command
  shift 3
  for _ in {1..10}; do
    port=$(free_port)
    # Nothing from the caller's environment: an API_KEY or S3_BUCKET meant for another service would change this one.
    command=(env -i PATH="$PATH" LOG_LEVEL="${LOG_LEVEL:-info}" BIND_ADDRESS=127.0.0.1 "$@" "$variable=$port" "$binary")
    "${command[@]}" >>"$log" 2>&1 &
    # Noted before it is ready: a signal that arrives meanwhile must stop it too.
    started+=($!)
    if wait_until_ready $! "${command[@]}" healthcheck; then return; fi
    unset 'started[-1]'
  done
  tail -n 5 -- "$log" >&2
  die "$name does not start; its log is $log"
}

free_port() {
  local port
  while port=$((20000 + RANDOM % 12000)); do
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || break
  done
  echo "$port"
}

# wait_until_ready PID CHECK...: 1 when the process has ended, or is not ready after ten seconds and was killed.
wait_until_ready() {
  local pid=$1
  shift
  for _ in {1..100}; do
    kill -0 "$pid" 2>/dev/null || return 1
    # Alive before and after: what answered is this process, not another one on the same port.
    if "$@" >/dev/null 2>&1; then kill -0 "$pid" 2>/dev/null && return; fi
    sleep 0.1
  done
  kill -KILL "$pid"
  wait "$pid" 2>/dev/null || return 1
}

# Submits both jobs and shows them until they end.
encode_both() {
  say "Encoding ${input:-the clip}"
  submit "MP4 720p" 720p_h264 "$name.mp4"
  submit "HLS ladder" hls_720p_abr "$name-hls"
  show_progress
}

# submit LABEL PRESET PATH
submit() {
  local body answer
  body='{"input_url":"'$input_url'","preset":"'$2'","output":{"storage":"local","path":"'$3'"}}'
  answer=$(curl -sS -X POST -H 'Content-Type: application/json' -d "$body" "$api/api/v1/jobs") ||
    die "$1: the control plane does not answer"
  [[ $answer =~ \"job_id\":\"([^\"]+)\" ]] || die "$1: $(json_text error "$answer")"
  watch_job "$1" "$api/api/v1/jobs/${BASH_REMATCH[1]}/stream"
}

show_results() {
  local mp4=$run/output/$name.mp4 hls=$run/output/$name-hls
  # %q: the commands can be pasted whatever the folder is called.
  printf '\nMP4: %s (%s)\n  ffplay %q\n' "$mp4" "$(du -h -- "$mp4" | cut -f 1)" "$mp4"
  printf 'HLS: %s (%s)\n  ffplay %q\n' "$hls/master.m3u8" "$(du -sh -- "$hls" | cut -f 1)" "$hls/master.m3u8"
}

serve_until_stopped() {
  serve_output
  cat <<URLS

Running until Ctrl-C:
  API      $api/api/v1
  Swagger  $api/swagger
  Metrics  $api/metrics
  Workers  $api/api/v1/workers/status
  Logs     $run/logs

Another job (sources are files in $run/input, or URLs):
  curl -X POST $api/api/v1/jobs -H 'Content-Type: application/json' \\
    -d '{"input_url":"$input_url","preset":"480p_h264","output":{"storage":"local","path":"another.mp4"}}'
  curl -N $api/api/v1/jobs/JOB_ID/stream
URLS
  # Ctrl-C is how this ends well.
  trap 'say "Stopping" && exit 0' INT TERM HUP
  wait -n "${started[@]}" || true
  die "a server has ended by itself; the logs are in $run/logs"
}

# The output folder over HTTP, so that a browser or a television can play it.
serve_output() {
  command -v python3 >/dev/null || { say "(no python3 here: the results are not served over HTTP)" && return; }
  local port
  port=$(free_port)
  python3 -m http.server --bind 127.0.0.1 --directory "$run/output" "$port" >>"$run/logs/http.log" 2>&1 &
  started+=($!)
  printf '\nResults over HTTP:\n  %s\n  %s\n' \
    "http://127.0.0.1:$port/$name.mp4" "http://127.0.0.1:$port/$name-hls/master.m3u8"
}

# Stops what was started, by its process id: softly, then for good.
clean_up() {
  trap '' INT TERM HUP
  local pid
  for pid in "${started[@]}"; do kill -TERM "$pid" 2>/dev/null || true; done
  for _ in {1..100}; do
    any_alive || return 0
    sleep 0.1
  done
  for pid in "${started[@]}"; do kill -KILL "$pid" 2>/dev/null || true; done
}

any_alive() {
  local pid
  for pid in "${started[@]}"; do
    if kill -0 "$pid" 2>/dev/null; then return 0; fi
  done
  return 1
}

main "$@"
