#!/usr/bin/env bash
# The demo: serve the shipped models, recognise photos, sound and files over both protocols, then load the server and print
# the table. With --keep the server stays up at the end (make serve). PRECISION=bf16, int8 or auto lets the models go below
# fp32 once their error is measured on what they are asked.
set -euo pipefail
cd "$(dirname "$0")/.."
motet=build/motet
media=demo/media
log=build/demo-server.log
keep=${1:-}

# Triton's ports if they are free, else any.
free() { ! (exec 3<> "/dev/tcp/127.0.0.1/$1") 2> /dev/null; }
if free 8000 && free 8001 && free 8002; then ports=(8000 8001 8002); else ports=(0 0 0); fi

tools/say "starting the server on models/ (log: $log)"
$motet serve --model-repository=models --precision="${PRECISION:-exact}" \
  --http-port="${ports[0]}" --grpc-port="${ports[1]}" --metrics-port="${ports[2]}" 2> "$log" &
server=$!
stop() { kill -TERM "$server" 2> /dev/null && wait "$server" 2> /dev/null || true; }
trap stop EXIT
until grep -q ' ready$' "$log"; do
  kill -0 "$server" 2> /dev/null || { echo "the server ended:" >&2; tail -5 "$log" >&2; exit 1; }
  sleep 0.1
done
port() { sed -nE "s|.*$1.*:([0-9]+)(/metrics)?\$|\\1|p" "$log" | head -1; }
http="http://127.0.0.1:$(port 'HTTP at')"
grpc="grpc://127.0.0.1:$(port 'gRPC at')"
metrics="http://127.0.0.1:$(port 'metrics at')/metrics"
grep -E 'workers:|HTTP at|gRPC at|metrics at' "$log" | sed 's/^[^ ]* [^ ]* I /  /'

recognise() { # url model file [options]
  local url=$1 model=$2 file=$3; shift 3
  printf '\n%s -> %s\n' "${file#$media/}" "$model"
  $motet infer --url "$url" "$model" "$file" "$@" 2>&1 | sed 's/^/  /' || true  # a refusal is printed; the demo goes on
}
tools/say "what the models recognise"
for photo in zebra.jpeg golden_retriever.jpeg airliner.jpeg peacock.jpeg; do recognise "$http" mobilenet_v2 "$media/photos/$photo" --top 1; done
for photo in snail.jpeg pelican.jpeg magnetic_compass.jpeg; do recognise "$grpc" mobilenet_v2 "$media/photos/$photo" --top 1; done
for photo in car.jpg cat.jpg kitten.jpg dog.jpg; do recognise "$grpc" resnet20_cifar10 "$media/photos/$photo" --top 1; done
recognise "$http" ultraface_rfb_320 "$media/photos/faces.jpg"
recognise "$grpc" fastestdet "$media/photos/street.jpg"
recognise "$http" silero_vad "$media/sound/speech.wav"
for file in pdf.pdf python.py flac.flac zip.zip; do recognise "$grpc" magika "$media/files/$file" --top 1; done
for digit in 3 7; do recognise "$http" mnist_8 "$media/digits/$digit.png" --top 1; done
recognise "$http" ncf_mlp_ml1m "12 345"
recognise "$grpc" super_resolution_10 "$media/photos/super-res-input.jpg" --out build/super-resolution.png

tools/say "20 s of load on every model: 60 % of the cores by a short probe, with 3 s at 150 %"
mkdir -p build/bench
load=()
for folder in models/*/; do
  model=$(basename "$folder")
  load+=(--model "$model" --input "$model=models/$model/golden/0/inputs.npz")
done
$motet bench "$http" "${load[@]}" --fill 0.6 --burst 1.5:3 --duration 20 --seed 1 --metrics "$metrics" --json build/bench/demo.json

if [ "$keep" = --keep ]; then
  tools/say "the server stays up: $http and $grpc; Ctrl-C ends it"
  trap - EXIT
  trap 'kill -TERM $server' INT TERM
  wait "$server"
fi
