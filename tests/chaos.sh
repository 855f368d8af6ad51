#!/usr/bin/env bash
# Runs jobs while workers, control planes, ffmpeg, the S3 server, disks, connections and the store are struck, and tells
# whether any job was lost, published twice or published half. Exits 0 when none was.
# Usage: tests/chaos.sh [--minutes N] [--seed S] [--store sqlite|postgres] [--planes N] [--jobs N] [--keep]
set -euo pipefail

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=deploy/lib/debian.sh
source "$root/deploy/lib/debian.sh"

ensure_rust
ensure_ffmpeg
if [[ " $* " =~ [\ =]postgres\  ]]; then ensure_postgres; fi
cd -- "$root"
cargo build --release --locked --workspace --bins
target=$(cargo metadata --locked --format-version 1 --no-deps | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')
exec "$target/release/chaos" "$@"
