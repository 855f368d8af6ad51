# shellcheck shell=bash
# What the scripts need to say things and to install Debian packages. To be sourced.

say() { printf '%s\n' "$*"; }

die() {
  printf '%s: %s\n' "${0##*/}" "$*" >&2
  exit 1
}

# Runs a command as root: directly, or with sudo.
as_root() {
  if [[ $EUID -eq 0 ]]; then "$@"; else sudo "$@"; fi
}

# install_packages PACKAGE...: with apt-get. Tells what to do where that is not possible.
install_packages() {
  command -v apt-get >/dev/null || die "please install $* (this is not Debian or Ubuntu, so apt-get cannot do it)"
  [[ $EUID -eq 0 ]] || command -v sudo >/dev/null || die "please install $* as root (there is no sudo here)"
  say "Installing $*"
  # Another apt may be at work on a machine that has just been started.
  local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300)
  if ! { as_root "${apt[@]}" update && as_root "${apt[@]}" install -y --no-install-recommends "$@" >/dev/null; }; then
    die "apt-get could not install $*"
  fi
}

# ensure_command COMMAND PACKAGE...: installs the packages unless the command is there.
ensure_command() {
  local command=$1
  shift
  command -v "$command" >/dev/null || install_packages "$@"
}

# What a build needs: cargo, the linker and C compiler that a Rust toolchain does not bring, and make for jemalloc.
ensure_rust() {
  # rustup writes this file, but only a new login shell reads it.
  # shellcheck source=/dev/null
  if ! command -v cargo >/dev/null && [[ -f $HOME/.cargo/env ]]; then source "$HOME/.cargo/env"; fi
  command -v cargo >/dev/null || die "cargo is missing: install a Rust toolchain first, see https://rustup.rs"
  ensure_command cc gcc libc6-dev
  ensure_command make make
}

# ffmpeg and ffprobe of 5.1 or later: Debian has that since 12, Ubuntu since 24.04.
ensure_ffmpeg() {
  ensure_command ffmpeg ffmpeg
  local version pattern='^ffmpeg version n?([0-9]+)\.([0-9]+)'
  version=$(ffmpeg -version)
  # A build from git has no number: take it as new enough.
  [[ $version =~ $pattern ]] || return 0
  ((BASH_REMATCH[1] * 100 + BASH_REMATCH[2] >= 501)) ||
    die "ffmpeg ${BASH_REMATCH[1]}.${BASH_REMATCH[2]} is too old: install 5.1 or later"
}

# The PostgreSQL server's programs; the tests start servers of their own.
ensure_postgres() {
  [[ -n $(compgen -G '/usr/lib/postgresql/*/bin/postgres') ]] || install_packages postgresql
}
