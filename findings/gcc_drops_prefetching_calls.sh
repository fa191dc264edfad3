#!/usr/bin/env bash
# GCC 12.2.0 (Debian 12, x86-64): a call of a function that does nothing but __builtin_prefetch is dropped.
#
# Guess:      a helper that prefetches what a loop reads next works as well apart as inlined; noinline keeps it a call.
# Behaviour:  at -O2 the function counts as one without effects, and a call whose result is not used goes away with all its
#             prefetches. Inlined (static inline) the same lines stay. Clang 14 keeps the call.
# Seen:       0 prefetches or calls of it in `apart`, at least 1 prefetch in `inlined`.
# Met where:  attention over pages never prefetched; inlined by force its reads went from 8.5 to 16 GB/s a core.
# Fails when that changes. Downloads Debian's compiler proper into a temporary folder and installs nothing.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
apt-get download -q g++-12=12.2.0-14+deb12u1 libisl23=0.25-1.1 libmpc3=1.3.1-1 libmpfr6=4.2.0-1 libgmp10=2:6.2.1+dfsg1-1.1 >/dev/null
for package in *.deb; do dpkg -x "$package" root; done
export LD_LIBRARY_PATH=$folder/root/usr/lib/x86_64-linux-gnu
compiler=$folder/root/usr/lib/gcc/x86_64-linux-gnu/12/cc1plus

program() {  # HOW: what stands before the helper
  cat <<CODE
$1 void ask_for(const char* from, int lines) {
  for (int i = 0; i < lines; ++i) __builtin_prefetch(from + 64 * i);
}
int sum(const char* from, int count) {
  ask_for(from + 4096, 8);
  int total = 0;
  for (int i = 0; i < count; ++i) total += from[i];
  return total;
}
CODE
}

asked() {  # how often \`sum\` prefetches, or calls what does
  "$compiler" -quiet -O2 "$1" -o - 2>/dev/null | awk '/^_Z3sum/ {inside = 1} inside' | grep -cE 'prefetch|call.*ask_for' || true
}

program '__attribute__((noinline)) static' >apart.cpp
program 'static inline' >inlined.cpp
apart=$(asked apart.cpp)
inlined=$(asked inlined.cpp)
echo "apart: $apart, inlined: $inlined"
[ "$apart" -eq 0 ] && [ "$inlined" -ge 1 ] || { echo "the behaviour has changed" >&2; exit 1; }
