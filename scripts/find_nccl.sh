#!/usr/bin/env bash
# Prints the path of the libnccl that PyTorch brings, or nothing.
python3 -c 'import glob, os, sys
for path in sys.path:
    for found in sorted(glob.glob(os.path.join(path, "nvidia", "nccl", "lib", "libnccl.so.*"))):
        print(found); sys.exit()' 2>/dev/null || true
