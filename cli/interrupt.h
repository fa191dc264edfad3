#pragma once

namespace vortex::cli {

// Exit code of a verb that the user interrupted.
inline constexpr int kInterrupted = 130;

// From here on SIGINT and SIGTERM are counted instead of ending the program.
void catch_interrupts();
int interrupts();

}  // namespace vortex::cli
