#!/bin/sh
# scripts/check_includes.sh against small trees: one as drawn, then the same with one wrong line each.
set -eu
check=$(cd "$(dirname "$0")/.." && pwd)/scripts/check_includes.sh
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
cd "$tree"
failed=0

fresh() {
  rm -rf src apps tests bench
  mkdir -p src/base src/text/jinja src/engine src/backend/cpu src/tensor apps/r1 tests bench
  echo 'r1_library(base LIBS Threads::Threads)' >src/base/CMakeLists.txt
  printf 'r1_library(text DEPS base\n  SOURCES ${jinja} LIBS x)  # DEPS engine\n' >src/text/CMakeLists.txt
  echo 'r1_library(engine DEPS text)' >src/engine/CMakeLists.txt
  echo 'target_link_libraries(r1 PRIVATE r1_engine CLI11::CLI11)' >apps/r1/CMakeLists.txt
  printf '#include <string>\n#include "text/jinja/value.h"\n#include "base/error.h"\n' >src/text/a.cc
  echo '#include "text/a.h"' >src/text/jinja/value.h
  echo '#include "text/a.h"' >src/engine/engine.cc
  echo '#include "base/error.h"' >src/engine/engine_test.cc
  echo '#include "base/error.h"' >tests/contract_test.cc
  printf '#include "main.h"\n#include "engine/engine.h"\n#include <iostream>\n' >apps/r1/main.cc
  printf '#include <stdint.h>\n#include "tensor/element_type.h"\n' >src/backend/cpu/kernels.h
  echo 'r1_library(backend DEPS tensor)' >src/backend/CMakeLists.txt
  echo 'int x;' >src/tensor/element_type.h
}

# refused FILE LINE TEXT: that line, put after line 1 of the file, must be refused as FILE:2.
refused() {
  fresh
  sed -i "1a\\
$2" "$1"
  if "$check" "$tree" >out 2>&1; then
    echo "not refused: $2 in $1"
    failed=1
  elif ! grep -q "^$1:2: includes .*$3" out; then
    echo "refused, but not as $1:2 ... $3:"
    cat out
    failed=1
  fi
}

fresh
"$check" "$tree" >out 2>&1 || { cat out; echo "refused, though as drawn"; failed=1; }
refused src/text/a.cc '#include "engine/engine.h"' 'text may include from base'
refused src/text/jinja/value.h '#include "engine/engine.h"' 'text may include from base'
refused src/engine/engine.cc '#include "base/error.h"' 'engine may include from text'
refused src/engine/engine.cc '#include "text/jinja/value.h"' 'text/jinja is a room'
refused tests/contract_test.cc '#include "text/jinja/value.h"' 'text/jinja is a room'
refused apps/r1/main.cc '#include "text/a.h"' 'apps/r1 may include from engine'
refused src/text/a.cc '#  include <iostream>' 'belongs in'
refused src/text/a.cc '#include <cuda_runtime.h>' 'belongs in'
refused src/text/a.cc '#include "a.h"' 'path from src/ on'
refused src/backend/cpu/kernels.h '#include <vector>' 'kernels read'
refused src/backend/cpu/kernels.h '#include "tensor/dtype.h"' 'kernels read'
refused src/tensor/element_type.h '#include <stdint.h>' 'includes nothing'

fresh
echo 'r1_library(base DEPS engine)' >src/base/CMakeLists.txt
if "$check" "$tree" >out 2>&1 || ! grep -q 'circle' out; then
  cat out
  echo "a circle was not refused"
  failed=1
fi
[ $failed = 0 ] && echo "check_includes_test: passed"
exit $failed
