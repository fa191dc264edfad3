#pragma once

#include <dlfcn.h>
#include <netdb.h>

#include <chrono>
#include <condition_variable>
#include <cstring>
#include <mutex>

namespace vortex::testing {

// While one lives, looking up `kStuckName` takes until it is gone, as with a name server that does not answer. To be
// included by one source of a program: it puts a getaddrinfo of its own before the C library's.
class StuckNames {
 public:
  static constexpr const char* kStuckName = "no-name-server-answers.test";

  StuckNames() { set(true); }
  ~StuckNames() { set(false); }
  StuckNames(const StuckNames&) = delete;
  StuckNames& operator=(const StuckNames&) = delete;

  static void wait_for_an_answer() {
    std::unique_lock lock(mutex());
    changed().wait_for(lock, std::chrono::minutes(5), [] { return !stuck(); });
  }

 private:
  static std::mutex& mutex() {
    static std::mutex one;
    return one;
  }
  static std::condition_variable& changed() {
    static std::condition_variable one;
    return one;
  }
  static bool& stuck() {
    static bool one = false;
    return one;
  }
  static void set(bool value) {
    const std::lock_guard lock(mutex());
    stuck() = value;
    changed().notify_all();
  }
};

}  // namespace vortex::testing

extern "C" int getaddrinfo(const char* node, const char* service, const addrinfo* hints, addrinfo** result) {
  if (node != nullptr && std::strcmp(node, vortex::testing::StuckNames::kStuckName) == 0) {
    vortex::testing::StuckNames::wait_for_an_answer();
    return EAI_AGAIN;
  }
  using Original = int (*)(const char*, const char*, const addrinfo*, addrinfo**);
  static const auto original = reinterpret_cast<Original>(::dlsym(RTLD_NEXT, "getaddrinfo"));
  return original(node, service, hints, result);
}
