#!/bin/sh
# Installs what is missing, builds everything and runs all tests. Options go to ctest.
. "$(dirname "$0")/common.sh"
install_packages
build all
echo "== ctest"
exec ctest --test-dir build/release --output-on-failure --parallel "$(nproc)" "$@"
