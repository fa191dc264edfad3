#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "sandbox/keeper/options.h"

namespace vortex::sandbox {

// What the keeper and the launcher have in common. Both are programs of one thread: they may fork and go on.

// Replaces a descriptor's place by /dev/null, so that its real owner's end is seen to close.
void let_go_of_streams();

// Sets the rlimits that the options name (as, cpu, fsize, nofile, nproc; core is always 0). Empty: done; else what
// failed, with errno.
std::string set_limits(const KeeperOptions& options);

// Dies when `parent` does. False when that has happened already.
bool die_with(pid_t parent);

// Puts the descriptors that the options name (inherit) where the program is to find them: at 3, 4, ... Gives the first
// number behind them. Whoever needs a descriptor of his own below that moves it to kAside or above before.
inline constexpr int kAside = 64;
unsigned place_descriptors(const KeeperOptions& options);

// Closes every descriptor from `first` on at exec.
bool close_from_at_exec(unsigned first);

// The modes of the program; each gives its exit code.
int keep(KeeperOptions& options);   // keeps a process tree
int enter(KeeperOptions& options);  // inside the jail: locks the doors, then becomes the parent of the program

}  // namespace vortex::sandbox
