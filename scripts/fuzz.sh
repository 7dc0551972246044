#!/bin/sh
# Installs what is missing, builds the fuzz targets with clang and runs each for a while, from and into
# its corpus. The first finding stops it; its input is left in build/fuzz.
#
#   scripts/fuzz.sh [SECONDS [TARGET...]]     default: 60 s, all of tests/fuzz
. "$(dirname "$0")/common.sh"
packages="$packages clang libclang-rt-dev llvm"
install_packages
seconds=${1:-60}
[ $# -gt 0 ] && shift
[ $# -gt 0 ] || set -- $(ls tests/fuzz/fuzz_*.cc | sed 's|.*/fuzz_||; s|\.cc$||')
targets=
for name in "$@"; do targets="$targets fuzz_$name"; done
echo "== build:$targets, into build/fuzz"
cmake -S . -B build/fuzz -G Ninja -DCMAKE_BUILD_TYPE=Debug -DCMAKE_CXX_COMPILER=clang++ \
  -DCMAKE_CXX_FLAGS_DEBUG="-O1 -g" -DR1_SANITIZE=address,undefined -DR1_BUILD_FUZZ=ON \
  -DBUILD_TESTING=OFF >/dev/null || die "cmake could not configure the build; its message is above"
# shellcheck disable=SC2086
cmake --build build/fuzz --parallel "$(nproc)" --target $targets || die "the build failed"
for name in "$@"; do
  echo "== fuzz_$name for $seconds s"
  mkdir -p "build/fuzz/found/$name" "tests/fuzz/corpus/$name"
  # New inputs go to build/fuzz/found; what is worth keeping is added to the corpus by hand:
  #   fuzz_NAME -merge=1 tests/fuzz/corpus/NAME build/fuzz/found/NAME
  build/fuzz/bin/fuzz_$name -seed=1 -max_total_time="$seconds" -timeout=20 -rss_limit_mb=2048 \
    -print_final_stats=1 -verbosity=0 -artifact_prefix="build/fuzz/$name-" \
    "build/fuzz/found/$name" "tests/fuzz/corpus/$name" || die "fuzz_$name found something: see above"
done
