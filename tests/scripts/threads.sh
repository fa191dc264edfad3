#!/usr/bin/env bash
# The annotations of base/thread_annotations.h are read: a member that is touched under its lock passes, one that is
# touched without it, or after the lock was given back, does not. Skipped where clang is missing.
# usage: threads.sh SOURCE_DIR
set -euo pipefail
cd "$1"
command -v clang++ >/dev/null || { echo "skipped: no clang++"; exit 77; }
check() {
  clang++ -std=c++20 -I. -Wthread-safety -Werror -fsyntax-only -x c++ - <<EOC
#include "base/thread_annotations.h"
class Counter {
 public:
  void touch() { $1 }
 private:
  vortex::Mutex mutex_;
  vortex::Condition changed_;
  int value_ VORTEX_GUARDED_BY(mutex_) = 0;
};
EOC
}
check 'const vortex::MutexLock lock(mutex_); while (value_ == 0) { changed_.wait(mutex_); } ++value_;'
check 'vortex::MutexLock lock(mutex_); ++value_; lock.unlock(); lock.lock(); ++value_;'
for wrong in '++value_;' 'vortex::MutexLock lock(mutex_); lock.unlock(); ++value_;' 'changed_.wait(mutex_);'; do
  if check "$wrong" 2>/dev/null; then echo "passed, and should not: $wrong"; exit 1; fi
done
