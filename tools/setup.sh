#!/usr/bin/env bash
# Installs what is missing on a Debian 12 machine: `setup.sh build` for compiling and running, `setup.sh test` also a Python
# environment in build/venv. Runs as root or with sudo; a second run does nothing and takes well under a second.
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

python_environment() {
  local stamp=build/venv/.requirements
  cmp -s tests/requirements.txt "$stamp" && return
  tools/say "making build/venv with $(grep -c '==' tests/requirements.txt) pinned packages"
  rm -rf build/venv
  /usr/bin/python3 -m venv build/venv
  build/venv/bin/pip install -q --disable-pip-version-check -r tests/requirements.txt
  cp tests/requirements.txt "$stamp"
}

mkdir -p build
case "${1:-}" in
  build) install_missing "${packages[@]}" ;;
  test) install_missing "${packages[@]}" "${test_packages[@]}"; python_environment ;;
  *) echo "usage: tools/setup.sh build|test" >&2; exit 2 ;;
esac
