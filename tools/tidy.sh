#!/usr/bin/env bash
# clang-tidy over every source of src/ (or those named after the build folder), with the checks of .clang-tidy.
set -euo pipefail
cd "$(dirname "$0")/.."
build=${1:-build}; shift || true
files=("$@")
[ ${#files[@]} -gt 0 ] || mapfile -t files < <(git ls-files 'src/*.cpp')
printf '%s\n' "${files[@]}" | xargs -P "$(nproc)" -n 4 clang-tidy-19 -p "$build" --quiet
