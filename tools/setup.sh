#!/usr/bin/env bash
# Installs what is missing on a Debian 12 machine: `setup.sh build` for compiling and running, `setup.sh test` also a Python
# environment in build/venv, `setup.sh zoo` one with PyTorch in build/zoo-venv. Runs as root or with sudo; a second run does nothing and takes well under a second.
set -euo pipefail
cd "$(dirname "$0")/.."

packages=(
  clang-19 lld-19 libclang-rt-19-dev clang-format-19 clang-tidy-19 g++ cmake ninja-build ccache pkg-config
  libdnnl-dev libgrpc++-dev libprotobuf-dev protobuf-compiler protobuf-compiler-grpc libboost-dev libsimdjson-dev
  libspdlog-dev libfmt-dev libcli11-dev libgtest-dev libonnx-dev
  libturbojpeg0-dev libpng-dev libzip-dev zlib1g-dev libxxhash-dev
)
test_packages=(python3 python3-venv)

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; elif command -v sudo > /dev/null; then sudo "$@"; else
    echo "setup: need root to install packages: run as root, or install sudo" >&2; exit 1
  fi
}

install_missing() {
  local missing=() name
  for name in "$@"; do
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$name" 2> /dev/null)" = installed ] || missing+=("$name")
  done
  [ ${#missing[@]} = 0 ] && return
  tools/say "installing ${#missing[@]} packages: ${missing[*]}"
  as_root apt-get update -q > build/apt-update.log 2>&1 || { tail -5 build/apt-update.log >&2; exit 1; }
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}" > build/apt-install.log 2>&1 ||
    { echo "setup: apt-get failed; the end of build/apt-install.log:" >&2; tail -20 build/apt-install.log >&2; exit 1; }
}

# python_environment FOLDER REQUIREMENTS [WORDS]
python_environment() {
  local stamp=$1/.requirements
  cmp -s "$2" "$stamp" && return
  tools/say "making $1 with $(grep -c '==' "$2") pinned packages${3:-}"
  rm -rf "$1"
  /usr/bin/python3 -m venv "$1"
  "$1/bin/pip" install -q --disable-pip-version-check -r "$2"
  cp "$2" "$stamp"
}

mkdir -p build
case "${1:-}" in
  build) install_missing "${packages[@]}" ;;
  test) install_missing "${packages[@]}" "${test_packages[@]}"; python_environment build/venv tests/requirements.txt ;;
  zoo)
    install_missing "${test_packages[@]}"
    python_environment build/zoo-venv tools/zoo/requirements.txt "; PyPI's torch takes 6 GB of disk, and some minutes" ;;
  *) echo "usage: tools/setup.sh build|test|zoo" >&2; exit 2 ;;
esac
