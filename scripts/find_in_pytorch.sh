#!/usr/bin/env bash
# Prints the path of an NVIDIA library that PyTorch brings, or nothing: a CUDA toolkit may come without cuBLASLt's files,
# and then those will do (CMake option VORTEX_CUBLASLT_HINT).
# usage: find_in_pytorch.sh cublasLt|nccl|...
python3 -c 'import glob, os, sys
name = sys.argv[1]
for path in sys.path:
    for found in sorted(glob.glob(os.path.join(path, "nvidia", "*", "lib", f"lib{name}.so.*"))):
        print(found); sys.exit()' "$1" 2>/dev/null || true
