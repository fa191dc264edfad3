#!/usr/bin/env bash
# Experiments on a really trained model side by side, each on a pair of cores of its own (docs/real-model.md): results as
# JSON under OUT, a table last. usage: real_model_trials.sh OUT MODEL_FOLDER BIN_DIR [OLD_BIN_DIR] [options]
exec python3 "$(dirname "$0")/real_model_trials.py" "$@"
