#!/usr/bin/env bash
# Prints the path of the libcublasLt that PyTorch brings, or nothing: a CUDA toolkit may come without cuBLASLt's files, and
# then those will do (CMake option VORTEX_CUBLASLT_HINT).
python3 -c 'import glob, os, sys
for path in sys.path:
    for found in sorted(glob.glob(os.path.join(path, "nvidia", "*", "lib", "libcublasLt.so.*"))):
        print(found); sys.exit()' 2>/dev/null || true
