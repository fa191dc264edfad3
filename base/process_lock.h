// A reader-writer lock between processes, for work on a device that several of them share: many together, or one alone.
#pragma once

#include "base/descriptor.h"
#include "base/result.h"

namespace vortex {

// The lock: memory without a name. It is held by openings of that memory, as flock(2) has it, so that the kernel
// takes back what a process held that died.
class ProcessLock {
 public:
  // One that nobody holds. Errors: the environment's.
  static Result<ProcessLock> make();

  // An opening of its own, for one process to inherit. Errors: the environment's.
  Result<Descriptor> open() const;

 private:
  explicit ProcessLock(Descriptor memory) : memory_(std::move(memory)) {}
  Descriptor memory_;
};

// What one process holds, through an opening that stays its owner's. Without one (a negative descriptor) every call
// returns at once. Not for several threads.
class LockHolder {
 public:
  explicit LockHolder(int descriptor) : descriptor_(descriptor) {}
  ~LockHolder() { release(); }
  LockHolder(const LockHolder&) = delete;
  LockHolder& operator=(const LockHolder&) = delete;

  // Waits until no other holds it alone, or at all. What this one holds already is given up for it.
  void take_together() { take(false); }
  void take_alone() { take(true); }
  void release();

  bool is_there() const { return descriptor_ >= 0; }

  // Seconds spent waiting so far.
  double waited() const { return waited_; }

 private:
  void take(bool alone);

  int descriptor_;
  bool holds_ = false;
  double waited_ = 0;
};

}  // namespace vortex
