#include "cli/interrupt.h"

#include <atomic>
#include <csignal>

namespace vortex::cli {
namespace {

std::atomic<int> g_interrupts = 0;
void on_interrupt(int) { g_interrupts = g_interrupts + 1; }

}  // namespace

void catch_interrupts() {
  struct sigaction action = {};
  action.sa_handler = on_interrupt;
  action.sa_flags = SA_RESTART;
  ::sigaction(SIGINT, &action, nullptr);
  ::sigaction(SIGTERM, &action, nullptr);
}

int interrupts() { return g_interrupts; }

}  // namespace vortex::cli
