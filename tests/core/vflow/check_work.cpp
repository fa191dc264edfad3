// Checks one policy and says what that took. Built with -fsanitize-coverage=trace-pc it counts, the same on every
// machine: one for each basic block of ours that runs, and one for each eight bytes that the C library moves, fills,
// searches or compares for us or for the C++ library. tests/core/vflow/linear.py asks. Without, it counts nothing, and
// is for callgrind, which counts instructions below check_policy.
// usage: check_work MODULE CONFIG        prints "CODE WORK", the work -1 where it is not counted

#include <cstddef>
#include <cstdint>
#include <cstdio>

#include "base/files.h"
#include "core/vflow/policy.h"

namespace {

int64_t work = 0;
bool counts = false;

}  // namespace

// What the compiler calls where a basic block begins.
extern "C" void __sanitizer_cov_trace_pc() {
  ++work;
  counts = true;
}

// These stand in front of the C library's, whose loops are not instrumented: under names of our own, since headers
// declare theirs, in no way that would compile them into calls of themselves, and fit to run before any sanitizer does.
#define IN_FRONT_OF(name) \
  __asm__(name) __attribute__((no_sanitize("address", "undefined"), optimize("no-tree-loop-distribute-patterns")))

extern "C" {

void* counted_move(void* to, const void* from, size_t size) IN_FRONT_OF("memmove");
void* counted_copy(void* to, const void* from, size_t size) IN_FRONT_OF("memcpy");
void* counted_fill(void* to, int value, size_t size) IN_FRONT_OF("memset");
int counted_compare(const void* left, const void* right, size_t size) IN_FRONT_OF("memcmp");
const void* counted_find(const void* in, int value, size_t size) IN_FRONT_OF("memchr");
size_t counted_length(const char* text) IN_FRONT_OF("strlen");

void* counted_move(void* to, const void* from, size_t size) {
  auto* out = static_cast<unsigned char*>(to);
  const auto* in = static_cast<const unsigned char*>(from);
  work += static_cast<int64_t>(size / 8);
  if (out < in) {
    for (size_t i = 0; i < size; ++i) { out[i] = in[i]; }
  } else {
    for (size_t i = size; i-- > 0;) { out[i] = in[i]; }
  }
  return to;
}

void* counted_copy(void* to, const void* from, size_t size) { return counted_move(to, from, size); }

void* counted_fill(void* to, int value, size_t size) {
  work += static_cast<int64_t>(size / 8);
  for (size_t i = 0; i < size; ++i) { static_cast<unsigned char*>(to)[i] = static_cast<unsigned char>(value); }
  return to;
}

int counted_compare(const void* left, const void* right, size_t size) {
  const auto* a = static_cast<const unsigned char*>(left);
  const auto* b = static_cast<const unsigned char*>(right);
  size_t i = 0;
  while (i < size && a[i] == b[i]) { ++i; }
  work += static_cast<int64_t>(i / 8);
  return i == size ? 0 : int{a[i]} - int{b[i]};
}

const void* counted_find(const void* in, int value, size_t size) {
  const auto* bytes = static_cast<const unsigned char*>(in);
  size_t i = 0;
  while (i < size && bytes[i] != static_cast<unsigned char>(value)) { ++i; }
  work += static_cast<int64_t>(i / 8);
  return i == size ? nullptr : bytes + i;
}

size_t counted_length(const char* text) {
  size_t size = 0;
  while (text[size] != '\0') { ++size; }
  work += static_cast<int64_t>(size / 8);
  return size;
}

}  // extern "C"

int main(int argc, char** argv) {
  using namespace vortex;
  if (argc != 3) { return 1; }
  const auto module = read_file(argv[1]);
  const auto config = read_file(argv[2]);
  if (!module.ok() || !config.ok()) { return 1; }
  const vflow::PolicySource source = {*module, *config, "policy.py", "policy.json"};
  vflow::ModelGeometry model;
  model.layers = 4;
  model.num_q_heads = 8;
  model.num_kv_heads = 4;
  model.head_dim = 64;
  model.max_context = 4608;
  const int64_t before = work;
  const vflow::CheckReport report = vflow::check_policy(source, model);
  const int64_t done = work - before;
  const bool refused = vflow::has_errors(report.diagnostics);
  std::string code = "ok";
  for (const vflow::Diagnostic& finding : report.diagnostics) {
    if (refused && finding.severity == vflow::Severity::kError) {
      code = finding.code;
      break;
    }
  }
  std::printf("%s %lld\n", code.c_str(), static_cast<long long>(counts ? done : -1));
  return 0;
}
