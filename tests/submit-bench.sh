#!/usr/bin/env bash
# Measures how many jobs a control plane accepts durably in a second, and how long one takes at a fixed rate. Release
# build; run it on a quiet machine, on the disk that is to hold the store.
# Usage: tests/submit-bench.sh [--seconds N] [--connections N] [--rate N] [--database-url URL] [--folder DIR] [--json]
set -euo pipefail

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=deploy/lib/debian.sh
source "$root/deploy/lib/debian.sh"

ensure_rust
cd -- "$root"
cargo build --release --locked --workspace --bins
target=$(cargo metadata --locked --format-version 1 --no-deps | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')
exec "$target/release/submit_bench" "$@"
