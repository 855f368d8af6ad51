#!/usr/bin/env bash
# Measures what the service adds to ffmpeg on this machine: start-up, idle memory, and the overhead of a first job.
# Usage: tests/measure.sh [CLIP] [PAIRS]. Release build; run it on a quiet machine. The figures are medians.
set -euo pipefail

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
clip=${1:-}
pairs=${2:-7}
folder=$(mktemp -d)
worker_port=$((20000 + RANDOM % 6000))
plane_port=$((26000 + RANDOM % 6000))
started=()

clean_up() {
  for pid in "${started[@]}"; do kill "$pid" 2>/dev/null || true; done
  wait
  rm -rf -- "$folder"
}
trap clean_up EXIT

now() { date +%s%N; }
median() { sort -n | awk '{v[NR] = $1} END {print v[int((NR + 1) / 2)]}'; }
ms_since() { awk -v a="$1" -v b="$(now)" 'BEGIN {printf "%.0f\n", (b - a) / 1e6}'; }
rss_kb() { awk '/VmRSS/ {print $2}' "/proc/$1/status"; }

# start PORT COMMAND...: sets took (ms from exec to the first connection) and pid.
start() {
  local port=$1 begin
  shift
  begin=$(now)
  env -i PATH="$PATH" BIND_ADDRESS=127.0.0.1 LOG_LEVEL=warn "$@" 2>>"$folder/log" &
  pid=$!
  started+=("$pid")
  until (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do
    kill -0 "$pid" || { cat "$folder/log" >&2; exit 1; }
  done
  took=$(ms_since "$begin")
}

# The same settings as the preset 480p_h264, given to ffmpeg by hand.
by_hand() {
  local begin
  begin=$(now)
  ffmpeg -nostdin -v error -y -i "$folder/in/clip.mp4" -vf scale=-2:480 -c:v libx264 -preset fast -crf 24 \
    -c:a aac -b:a 96k -movflags +faststart "$folder/hand.mp4"
  ms_since "$begin"
}

by_service() {
  local begin stream
  begin=$(now)
  stream=$(curl -sf "127.0.0.1:$plane_port/api/v1/jobs" -H 'Content-Type: application/json' -d '{"input_url":"file://'"$folder"'/in/clip.mp4",
    "preset":"480p_h264","output":{"storage":"local","path":"'"$RANDOM$RANDOM"'.mp4"}}' | sed 's/.*"stream_url":"\([^"]*\)".*/\1/')
  curl -sfN "127.0.0.1:$plane_port$stream" | grep -q JOB_STATUS_COMPLETED || { cat "$folder/log" >&2; exit 1; }
  ms_since "$begin"
}

cd -- "$root"
cargo build --release --locked --workspace --exclude e2e --exclude bench
mkdir -p "$folder"/{in,out,work}
if [[ -n $clip ]]; then
  cp -- "$clip" "$folder/in/clip.mp4"
else
  ffmpeg -nostdin -v error -f lavfi -i testsrc2=s=1280x720:r=25:d=5 -f lavfi -i sine=d=5 \
    -c:v libx264 -preset veryfast -pix_fmt yuv420p -c:a aac "$folder/in/clip.mp4"
fi
start "$worker_port" GRPC_PORT="$worker_port" WORK_DIR="$folder/work" STORAGE_TYPE=local LOCAL_STORAGE_DIR="$folder/out" \
  INPUT_DIR="$folder/in" DISABLE_AUTO_SHUTDOWN=true target/release/worker
worker=$pid worker_start=$took
start "$plane_port" PORT="$plane_port" WORKER_NODES="127.0.0.1:$worker_port" target/release/controlplane
plane=$pid plane_start=$took
printf 'worker        exec to serving %4s ms   idle %6s kB\n' "$worker_start" "$(rss_kb "$worker")"
printf 'control plane exec to serving %4s ms   idle %6s kB\n' "$plane_start" "$(rss_kb "$plane")"
for ((pair = 0; pair < pairs; pair++)); do
  hand=$(by_hand)
  service=$(by_service)
  echo "$((service - hand)) $hand $service" >>"$folder/pairs"
done
printf 'overhead of a job over ffmpeg by hand: median %s ms of %s pairs (by hand %s ms, service %s ms)\n' \
  "$(cut -d' ' -f1 "$folder/pairs" | median)" "$pairs" "$(cut -d' ' -f2 "$folder/pairs" | median)" "$(cut -d' ' -f3 "$folder/pairs" | median)"
printf 'after the jobs: worker %s kB, control plane %s kB\n' "$(rss_kb "$worker")" "$(rss_kb "$plane")"
