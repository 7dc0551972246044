# What demo.sh and test.sh share: install what is missing, configure, build.
set -eu
cd "$(dirname "$0")/.."

packages="cmake ninja-build g++ pkg-config nlohmann-json3-dev libcli11-dev libtomlplusplus-dev
  libedit-dev libpcre2-dev libutf8proc-dev libsimdjson-dev libxxhash-dev libginac-dev libgtest-dev
  bubblewrap"

die() {
  echo "$0: $*" >&2
  exit 1
}

install_packages() {
  command -v dpkg-query >/dev/null || die "this needs Debian 12, Ubuntu 24.04 or newer (dpkg not found);
  elsewhere install cmake, ninja, a C++20 compiler, nlohmann-json, simdjson, CLI11, toml++, pcre2,
  utf8proc, xxhash, ginac and googletest, then: cmake --preset release && cmake --build --preset release"
  missing=
  for p in $packages; do
    dpkg-query -W -f='${Status}' "$p" 2>/dev/null | grep -q "ok installed" || missing="$missing $p"
  done
  if [ -z "$missing" ]; then
    echo "== packages: all there"
    return
  fi
  echo "== packages: installing$missing"
  run_as_root=
  if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || die "packages are missing:$missing; install them as root"
    run_as_root=sudo
  fi
  $run_as_root apt-get update -qq || die "apt-get update failed: is the network there?"
  # shellcheck disable=SC2086
  $run_as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
    $missing >/dev/null || die "apt-get could not install:$missing"
}

# build TARGET...: into build/release
build() {
  jobs=$(nproc)
  echo "== build: $* with $jobs jobs, into build/release"
  cmake --preset release >/dev/null || die "cmake could not configure the build; its message is above"
  cmake --build --preset release --parallel "$jobs" --target "$@" || die "the build failed"
}
