#!/bin/sh
# Installs what is missing, builds r1 and runs its main job: r1 demo. Options go to r1 demo.
. "$(dirname "$0")/common.sh"
install_packages
build r1
echo "== build/release/bin/r1 demo $*"
exec build/release/bin/r1 demo "$@"
