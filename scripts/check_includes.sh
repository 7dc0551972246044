#!/bin/sh
# Refuses an include against the drawing (docs/architecture.md). The linker alone would not: a struct,
# a constant or a template comes from a header with nothing to link.
#
#   scripts/check_includes.sh [ROOT]     default: this repository
#
# A folder of src/ includes its own files and those of its DEPS, each said by name in its CMakeLists.txt;
# its tests, those of their DEPS as well; an application, those of the r1_... libraries that it links by
# name; tests/ and bench/, any. DEPS make no circle. Rooms (folders in a folder), headers of others'
# libraries and what kernels read have laws of their own, in the tables below.
set -eu
cd "${1:-$(dirname "$0")/..}"

# shellcheck disable=SC2046
LC_ALL=C awk '
BEGIN {
  # A room is included from its own folder, and from these files.
  opened["backend/cpu"] = "^src/bench/roof[.]cc$"
  opened["backend/ref"] = "_test[.]cc$|^apps/r1/bench[.]cc$"
  opened["backend/fenced"] = "_test[.]cc$|/testing[.]h$"
  opened["tasks/math"] = "^tests/"
  # <headers> of libraries, and the files where they belong.
  belongs["(cuda|cublas|cudnn|nvrtc|cutlass|cub/)"] = "^src/backend/cuda/"
  belongs["(immintrin|arm_neon|cpuid)[.]h"] = "^src/backend/cpu/(simd|kernels)_|^src/base/thread_pool[.]cc$"
  belongs["(ginac|cln)/"] = "^src/tasks/math/"
  belongs["(nlohmann|toml[+][+])/"] = "^src/base/"
  belongs["pcre2|utf8proc|simdjson"] = "^src/text/"
  # Libraries do not print.
  belongs["(iostream|print|syncstream)$"] = "^(apps|bench|tests)/|_test[.]cc$"
  # Files compiled for one instruction set: an inline function of the standard library that they
  # instantiate may be the copy that the whole program runs.
  kernels = "^src/backend/cpu/(kernels.*|simd_.*|.*[.]inl)$"
  kernels_read = "^(stdint|string|immintrin|arm_neon|cpuid)[.]h$|^type_traits$" \
    "|^backend/cpu/(kernels|simd_.*)[.]h$|^backend/cpu/.*[.]inl$|^backend/layout[.]h$" \
    "|^tensor/element_type[.]h$"
  no_includes = "^src/(backend/layout|tensor/element_type)[.]h$"
}

function refuse(what, expected) {
  printf "%s:%d: includes %s: %s\n", FILENAME, FNR, what, expected
  bad = 1
}

# The folder that a file belongs to; "" where any may be included.
function folder_of(path, parts) {
  split(path, parts, "/")
  return parts[1] == "src" ? parts[2] : parts[1] == "apps" ? "apps/" parts[2] : ""
}

# "backend/cpu" of "backend/cpu/kernels.h"; "" where there is no room.
function room_of(name, parts) {
  return split(name, parts, "/") > 2 ? parts[1] "/" parts[2] : ""
}

# What the build of a folder says it may include: may[folder, name], list[folder].
function note_deps(folder, text, count, words, i, command, among) {
  gsub(/[()]/, " & ", text)
  count = split(text, words, /[ \t]+/)
  for (i = 2; i <= count; ++i) {
    if (words[i] == "(") command = words[i - 1]
    if (words[i] ~ /^[A-Z_]+$|^[()]$/) among = words[i] == "DEPS" && command == "r1_library"
    else if (among || (command == "target_link_libraries" && sub(/^r1_/, "", words[i]))) {
      may[folder, words[i]] = 1
      list[folder] = list[folder] " " words[i]
    }
  }
}

# Notes what lies beneath a folder: beneath[top, folder]. DEPS in a circle are no order.
function walk(top, folder, count, words, i) {
  count = split(list[folder], words, " ")
  for (i = 1; i <= count; ++i) {
    if (words[i] == top) {
      printf "src/%s/CMakeLists.txt: DEPS go in a circle by way of %s\n", top, folder
      bad = 1
    } else if (!((top, words[i]) in beneath)) {
      beneath[top, words[i]] = 1
      walk(top, words[i])
    }
  }
}

function seen_from(from, to) {
  return (from, to) in may || (FILENAME ~ /_test[.]cc$|\/testing[.]h$/ && (from, to) in beneath)
}

function check_quoted(name, from, to, room) {
  if (!index(name, "/")) {  # a neighbour
    if (FILENAME ~ /^src\//) refuse("\"" name "\"", "expected \"" from "/...\", the path from src/ on")
    return
  }
  to = substr(name, 1, index(name, "/") - 1)
  if (from != "" && to != from && !seen_from(from, to)) {
    refuse("\"" name "\"", from " may include from" list[from] " (DEPS in its CMakeLists.txt)")
  }
  room = room_of(name)
  if (room != "" && to != from && !(room in opened && FILENAME ~ opened[room])) {
    refuse("\"" name "\"", room " is a room of " to ", not to be seen from here")
  }
}

function check_outside(name, pattern) {
  for (pattern in belongs) {
    if (name ~ "^(" pattern ")" && FILENAME !~ belongs[pattern]) {
      refuse("<" name ">", "it belongs in " belongs[pattern])
    }
  }
}

FNR == 1 { from = folder_of(FILENAME) }
FILENAME ~ /CMakeLists[.]txt$/ { sub(/#.*/, ""); build[from] = build[from] " " $0; next }
FNR == 1 && !noted++ {
  for (folder in build) note_deps(folder, build[folder])
  for (folder in list) walk(folder, folder)
}

/^[ \t]*#[ \t]*include[ \t]*["<]/ {
  match($0, /["<][^">]*[">]/)
  name = substr($0, RSTART + 1, RLENGTH - 2)
  ++seen
  if (substr($0, RSTART, 1) == "<") check_outside(name)
  else check_quoted(name, from)
  if (FILENAME ~ kernels && name !~ kernels_read) {
    refuse(name, "kernels read raw pointers and these alone: " kernels_read)
  }
  if (FILENAME ~ no_includes) refuse(name, "this header, which kernels read, includes nothing")
}

END {
  if (!bad) printf "check_includes: %d includes, all as drawn\n", seen
  exit bad
}
' $(find src apps -name CMakeLists.txt) \
  $(find src apps tests bench -name '*.cc' -o -name '*.h' -o -name '*.inl' | sort)
