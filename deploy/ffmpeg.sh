#!/usr/bin/env bash
# Builds an ffmpeg for workers from Debian's source, with its security fixes and its hardening. It needs 18 libraries, where
# the packaged one loads 200 at each start. For Debian 12 and later; takes five to ten minutes.
#
#   deploy/ffmpeg.sh [PREFIX]     ffmpeg and ffprobe go to PREFIX/bin; /opt/flux-ffmpeg by default
#
# Dockerfile.worker runs it, too. On a host, run it again for new security fixes and after an upgrade of the system. The
# packages that it installs stay: they hold the libraries. Workers may run meanwhile.
set -euo pipefail

# shellcheck source=deploy/lib/debian.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/debian.sh"

prefix=$(realpath -m -- "${1:-/opt/flux-ffmpeg}")
# Not /tmp, which is often in memory.
work=$(mktemp -d -p /var/tmp)
trap 'rm -rf "$work"' EXIT

# Debian's package lists have no sources unless somebody asked for them. This asks, and leaves the machine's own as they are.
list_sources() {
  local list
  mkdir -p "$work/lists/partial" "$work/sources"
  for list in /etc/apt/sources.list.d/debian.sources /etc/apt/sources.list; do
    [[ -f $list ]] || continue
    sed -E 's/^Types:.*/Types: deb-src/; s/^deb /deb-src /' "$list" >"$work/sources/${list##*/}"
  done
  grep -qrsE '^(Types: )?deb-src' "$work/sources" || die "/etc/apt has no list of Debian's packages: is this Debian?"
}

fetch() {
  local apt=(apt-get -qq -o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts="$work/sources"
    -o Dir::State::lists="$work/lists" -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache=
    -o APT::Update::Error-Mode=any -o APT::Sandbox::User=root)
  "${apt[@]}" update
  cd "$work"
  "${apt[@]}" source --download-only ffmpeg
  # apt has checked what it downloaded.
  dpkg-source --no-check --extract ./*.dsc tree >/dev/null
}

build() {
  cd "$work/tree"
  local revision
  revision=$(dpkg-parsechangelog -S Version | sed 's/.*-//')
  # A line for each of 2,000 files, and warnings: of interest only when it fails.
  if ! { configure "$revision" && make --silent --jobs="$(nproc)" ffmpeg ffprobe; } >"$work/log" 2>&1; then
    tail -n 40 "$work/log" >&2
    die "ffmpeg cannot be built"
  fi
}

# configure REVISION
configure() {
  ./configure --prefix="$prefix" --toolchain=hardened --extra-version="$1-lean" \
    --disable-autodetect --disable-doc --disable-debug --disable-ffplay \
    --disable-indevs --disable-outdevs --enable-indev=lavfi \
    --enable-gpl --enable-libx264 --enable-libdav1d --enable-gnutls --enable-zlib --enable-bzlib --enable-lzma
}

# Each at once, so that no job meets half of it.
put() {
  local name doc=$prefix/share/doc/ffmpeg
  as_root mkdir -p "$prefix/bin" "$doc"
  as_root install -m 644 debian/copyright "$doc/copyright"
  for name in ffmpeg ffprobe; do
    as_root install "$name" "$prefix/bin/$name.new"
    as_root mv "$prefix/bin/$name.new" "$prefix/bin/$name"
  done
}

list_sources
install_packages gcc libc6-dev make nasm pkg-config dpkg-dev \
  libx264-dev libdav1d-dev libgnutls28-dev zlib1g-dev libbz2-dev liblzma-dev
fetch
say "Building ffmpeg"
build
put
"$prefix/bin/ffmpeg" -version | sed -n 1p
say "Set FFMPEG_PATH=$prefix/bin/ffmpeg and FFPROBE_PATH=$prefix/bin/ffprobe on the worker."
