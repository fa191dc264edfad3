// Checks one policy and says what that took. Built with -fsanitize-coverage=trace-pc it counts, the same on every
// machine: one for each basic block of ours that runs, and one for each eight bytes that the C library moves, fills,
// searches or compares for us or for the C++ library. tests/core/vflow/linear.py asks. Without, it counts nothing, and
// is for callgrind, which counts instructions below check_policy.
// usage: check_work (MODULE CONFIG)...        prints "CODE WORK" for each, the work -1 where it is not counted

#include <cstddef>
#include <cstdint>
#include <cstdio>

#include "base/files.h"
#include "core/vflow/policy.h"

namespace {

int64_t work = 0;
bool counts = false;

}  // namespace

// Of functions that count: they must neither be counted nor, since they run before any sanitizer does, be watched, nor
// be compiled into calls of themselves.
#ifdef __clang__
#define UNCOUNTED __attribute__((no_sanitize("address", "undefined", "coverage"), no_builtin))
#else
#define UNCOUNTED                                                           \
  __attribute__((no_sanitize("address", "undefined"), no_sanitize_coverage, \
                 optimize("no-tree-loop-distribute-patterns")))
#endif

// What the compiler calls where a basic block begins.
extern "C" UNCOUNTED void __sanitizer_cov_trace_pc() {
  ++work;
  counts = true;
}

// These stand in front of the C library's, whose loops are not instrumented: under names of our own, since headers
// declare theirs.
#define IN_FRONT_OF(name) __asm__(name) UNCOUNTED

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

namespace {

using namespace vortex;

vflow::ModelGeometry model() {
  vflow::ModelGeometry model;
  model.layers = 4;
  model.num_q_heads = 8;
  model.num_kv_heads = 4;
  model.head_dim = 64;
  model.max_context = 4608;
  return model;
}

// The first error, or "ok".
std::string outcome(const vflow::CheckReport& report) {
  for (const vflow::Diagnostic& finding : report.diagnostics) {
    if (finding.severity == vflow::Severity::kError) { return finding.code; }
  }
  return "ok";
}

}  // namespace

int main(int argc, char** argv) {
  for (int i = 1; i + 1 < argc; i += 2) {
    const auto module = read_file(argv[i]);
    const auto config = read_file(argv[i + 1]);
    if (!module.ok() || !config.ok()) { return 1; }
    const int64_t before = work;
    const vflow::CheckReport report = vflow::check_policy({*module, *config, "policy.py", "policy.json"}, model());
    const int64_t done = work - before;
    std::printf("%s %lld\n", outcome(report).c_str(), static_cast<long long>(counts ? done : -1));
  }
  return argc > 2 ? 0 : 1;
}
