#!/usr/bin/env bash
# Checks Bantam on a GPU, in about ten minutes once libtorch is there, and writes everything that it found
# into one JSON file:
#
#     scripts/check-device.sh                       the first GPU, or the CPU if there is none
#     scripts/check-device.sh --device cuda:1
#     scripts/check-device.sh --help
#
# The first time on a machine it installs Bantam: libtorch's CUDA part takes 4 GB of disk.
set -euo pipefail
cd "$(dirname "$0")/.."

command -v npm > /dev/null || {
  echo 'Node 20.19 or newer, with npm, has to be there (docs/install.md).' >&2
  exit 1
}
if [[ ! -d node_modules ]]; then
  npm ci || {
    echo 'npm ci failed, see above: what is missing stands in docs/install.md.' >&2
    exit 1
  }
fi
exec node scripts/check-device/main.js "$@"
