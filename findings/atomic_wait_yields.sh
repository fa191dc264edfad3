#!/usr/bin/env bash
# libstdc++ 12.2.0 (Debian 12): std::atomic::wait gives its time slice away before it sleeps.
#
# Guess:      a wait looks at the number a few times in place and then sleeps in a futex.
# Behaviour:  between the two it calls sched_yield, up to four times. On a core that another program keeps busy each call
#             hands that program a time slice, which a thread that sleeps and is woken does not.
# Seen:       500 turns of two threads on such a core: some 1,000 yields and 0.7 s; a futex by hand none and 0.005 s.
# Met where:  engines of two threads nearly stood still beside other programs; waiting by hand a benchmark of them ends 5 to 7 times sooner.
# Fails when it no longer yields. Downloads Debian's headers into a temporary folder and installs nothing.
set -euo pipefail
version=12.2.0-14+deb12u1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
apt-get download -q "libstdc++-12-dev=$version" >/dev/null 2>&1
dpkg -x libstdc++-12-dev_*.deb root

cat >yields.cpp <<'CPP'
#include <dlfcn.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <thread>

static std::atomic<long> yields{0};

// Stands in front of the C library's and counts.
extern "C" int sched_yield() noexcept {
  ++yields;
  return static_cast<int>(syscall(SYS_sched_yield));
}

static std::atomic<int> word{0};
static bool by_hand = false;

static void wait_while(int value) {
  if (!by_hand) { return word.wait(value); }
  while (word.load() == value) { syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, value, nullptr, nullptr, 0); }
}

static void set(int value) {
  word.store(value);
  if (by_hand) {
    syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
  } else {
    word.notify_one();
  }
}

int main(int, char** arguments) {
  by_hand = std::strcmp(arguments[1], "futex") == 0;
  constexpr int kTurns = 500;
  const auto start = std::chrono::steady_clock::now();
  std::thread other([] {
    for (int turn = 0; turn < kTurns; ++turn) {
      wait_while(2 * turn);
      set(2 * turn + 2);
    }
  });
  for (int turn = 0; turn < kTurns; ++turn) {
    set(2 * turn + 1);
    wait_while(2 * turn + 1);
  }
  other.join();
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  std::printf("%ld %.3f\n", yields.load(), took.count());
}
CPP
g++ -std=c++20 -O2 -pthread -nostdinc++ -isystem root/usr/include/c++/12 -isystem root/usr/include/x86_64-linux-gnu/c++/12 \
  yields.cpp -o yields

core=$(taskset -cp $$ | sed 's/.*: *//; s/[-,].*//')
taskset -c "$core" bash -c 'while :; do :; done' &
busy=$!
trap 'kill "$busy" 2>/dev/null; rm -rf "$folder"' EXIT
read -r yields seconds < <(taskset -c "$core" ./yields wait)
read -r none by_hand < <(taskset -c "$core" ./yields futex)
echo "libstdc++ $version, 500 turns of two threads on a core that another program keeps busy"
echo "std::atomic::wait: $yields calls of sched_yield, $seconds s"
echo "futex by hand:     $none calls of sched_yield, $by_hand s"
if [ "$yields" -lt 500 ] || [ "$none" -ne 0 ]; then
  echo "changed: it no longer yields before it sleeps"
  exit 1
fi
