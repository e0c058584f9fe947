#!/bin/sh
# Makes .venv-bench-<side> for the peers, each with its pinned requirements.
#
#   benchmarks/setup_environments.sh [SIDE ...]     default: huggingface keras_hub
#
# bert4keras needs Python 3.7: name its interpreter in PYTHON37. PYTHON is used for the others.
# PIP_OPTIONS is handed to pip, e.g. "--extra-index-url https://download.pytorch.org/whl/cpu" for the
# CPU build of PyTorch, which is a tenth of the size of the default one.
set -eu
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || set -- huggingface keras_hub
for side in "$@"; do
    requirements=benchmarks/requirements-$side.txt
    if [ ! -f "$requirements" ]; then
        echo "Unknown side $side: there is no $requirements." >&2
        exit 2
    fi
    case $side in
        bert4keras) python=${PYTHON37:-python3.7} ;;
        *) python=${PYTHON:-python3} ;;
    esac
    "$python" -m venv ".venv-bench-$side"
    ".venv-bench-$side/bin/python" -m pip install --quiet --upgrade pip
    # shellcheck disable=SC2086  # several options, split on purpose
    ".venv-bench-$side/bin/python" -m pip install --quiet ${PIP_OPTIONS:-} -r "$requirements"
    echo "$side: .venv-bench-$side"
done
