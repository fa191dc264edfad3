// Preloaded into faulty_search (LD_PRELOAD): system calls that write, read, start a process or tell the time fail or
// misbehave at moments drawn from VORTEX_FAULT_SEED, one in VORTEX_FAULT_EVERY calls: EIO, ENOSPC, EINTR, half of a
// write, a clock that jumps, SIGKILL. Without a seed nothing happens. One seam for all of them, outside the program.

#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdarg>
#include <cstdint>
#include <cstdlib>
#include <ctime>

namespace {

uint64_t number_of(const char* name) {
  const char* text = ::getenv(name);
  return text == nullptr ? 0 : ::strtoull(text, nullptr, 10);
}

const uint64_t kSeed = number_of("VORTEX_FAULT_SEED");
const uint64_t kEvery = number_of("VORTEX_FAULT_EVERY");
std::atomic<uint64_t> calls = 0;

uint64_t mixed(uint64_t x) {  // splitmix64
  x += 0x9e3779b97f4a7c15ULL;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

// What happens at this call: 0 nothing, else a number to choose a fault by.
uint64_t fate() {
  if (kSeed == 0 || kEvery == 0) { return 0; }
  const uint64_t draw = mixed(kSeed ^ mixed(++calls));
  return draw % kEvery == 0 ? (draw >> 32) | 1 : 0;
}

void perhaps_die(uint64_t fate) {
  if (fate % 7 == 3) { ::kill(::getpid(), SIGKILL); }
}

template <typename Function>
Function next(const char* name) {
  return reinterpret_cast<Function>(::dlsym(RTLD_NEXT, name));
}

// A call that is to fail with one of these reasons; true: it does.
bool fails(int first, int second) {
  const uint64_t drawn = fate();
  if (drawn == 0) { return false; }
  perhaps_die(drawn);
  errno = drawn % 2 == 0 ? first : second;
  return true;
}

// Writes to a file: may fail, be interrupted, or write half. Standard streams and pipes of ours are left alone.
bool disturbs_write(int fd, size_t& size, ssize_t& result) {
  if (fd <= 2) { return false; }
  const uint64_t drawn = fate();
  if (drawn == 0) { return false; }
  perhaps_die(drawn);
  if (drawn % 3 == 0 && size > 1) {
    size /= 2;
    return false;
  }
  constexpr int kReasons[] = {EIO, ENOSPC, EINTR};
  errno = kReasons[drawn / 3 % 3];
  result = -1;
  return true;
}

}  // namespace

extern "C" {

ssize_t write(int fd, const void* bytes, size_t size) {
  static const auto real = next<ssize_t (*)(int, const void*, size_t)>("write");
  ssize_t result = 0;
  return disturbs_write(fd, size, result) ? result : real(fd, bytes, size);
}

ssize_t read(int fd, void* bytes, size_t size) {
  static const auto real = next<ssize_t (*)(int, void*, size_t)>("read");
  struct stat file = {};
  const bool kept = fd > 2 && ::fstat(fd, &file) == 0 && S_ISREG(file.st_mode);  // not what a child says
  return kept && fails(EIO, EINTR) ? -1 : real(fd, bytes, size);
}

ssize_t pwrite64(int fd, const void* bytes, size_t size, off64_t offset) {
  static const auto real = next<ssize_t (*)(int, const void*, size_t, off64_t)>("pwrite64");
  ssize_t result = 0;
  return disturbs_write(fd, size, result) ? result : real(fd, bytes, size, offset);
}

ssize_t pread64(int fd, void* bytes, size_t size, off64_t offset) {
  static const auto real = next<ssize_t (*)(int, void*, size_t, off64_t)>("pread64");
  return fails(EIO, EINTR) ? -1 : real(fd, bytes, size, offset);
}

int fsync(int fd) {
  static const auto real = next<int (*)(int)>("fsync");
  return fails(EIO, EINTR) ? -1 : real(fd);
}

int fdatasync(int fd) {
  static const auto real = next<int (*)(int)>("fdatasync");
  return fails(EIO, ENOSPC) ? -1 : real(fd);
}

int ftruncate64(int fd, off64_t size) {
  static const auto real = next<int (*)(int, off64_t)>("ftruncate64");
  return fails(EIO, ENOSPC) ? -1 : real(fd, size);
}

int rename(const char* from, const char* to) {
  static const auto real = next<int (*)(const char*, const char*)>("rename");
  return fails(EIO, ENOSPC) ? -1 : real(from, to);
}

int mkdir(const char* path, mode_t mode) {
  static const auto real = next<int (*)(const char*, mode_t)>("mkdir");
  return fails(EIO, ENOSPC) ? -1 : real(path, mode);
}

pid_t fork() {
  static const auto real = next<pid_t (*)()>("fork");
  return fails(EAGAIN, ENOMEM) ? -1 : real();
}

int pipe2(int ends[2], int flags) {
  static const auto real = next<int (*)(int*, int)>("pipe2");
  return fails(EMFILE, ENFILE) ? -1 : real(ends, flags);
}

int open64(const char* path, int flags, ...) {
  static const auto real = next<int (*)(const char*, int, ...)>("open64");
  va_list more;
  va_start(more, flags);
  const mode_t mode = (flags & O_CREAT) != 0 ? va_arg(more, mode_t) : 0;
  va_end(more);
  return (flags & O_CREAT) != 0 && fails(ENOSPC, EIO) ? -1 : real(path, flags, mode);
}

int clock_gettime(clockid_t clock, timespec* time) {
  static const auto real = next<int (*)(clockid_t, timespec*)>("clock_gettime");
  const int code = real(clock, time);
  const uint64_t drawn = clock == CLOCK_REALTIME ? fate() : 0;
  if (drawn != 0) { time->tv_sec += static_cast<time_t>(drawn % 7200) - 3600; }
  return code;
}

}  // extern "C"
