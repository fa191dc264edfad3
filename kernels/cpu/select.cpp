#include "kernels/cpu/select.h"

#include <cmath>
#include <cstring>

namespace vortex::cpu {

namespace {

// Maps a score to an integer of the same order: NaN to 0, -0 and 0 to the same.
std::uint32_t order_key(float score) {
  if (score != score) { return 0; }
  const float canonical = score + 0.0F;  // -0 becomes 0
  std::uint32_t bits;
  std::memcpy(&bits, &canonical, sizeof(bits));
  return (bits & 0x80000000U) != 0 ? ~bits : bits | 0x80000000U;
}

constexpr int kBuckets = 256;

// What is known of the k-th largest key: its upper bits, and how many keys are above every key that shares them.
struct Threshold {
  std::uint32_t prefix = 0;
  int shift = 32;  // keys are compared by key >> shift
  int above = 0;

  std::uint32_t group(std::uint32_t key) const { return shift == 32 ? 0 : key >> shift; }
};

// Fixes the next 8 bits of the threshold. Gives the number of keys in the new bucket.
int refine(const float* scores, int count, int k, Threshold& threshold) {
  int histogram[kBuckets] = {};
  for (int i = 0; i < count; ++i) {
    const std::uint32_t key = order_key(scores[i]);
    if (threshold.group(key) == threshold.prefix) { ++histogram[key >> (threshold.shift - 8) & 0xffU]; }
  }
  int bucket = kBuckets - 1;
  while (threshold.above + histogram[bucket] < k) {
    threshold.above += histogram[bucket];
    --bucket;
  }
  threshold.shift -= 8;
  threshold.prefix = threshold.prefix << 8 | static_cast<std::uint32_t>(bucket);
  return histogram[bucket];
}

}  // namespace

int select_largest(const float* scores, int count, int k, double tolerance, int offset, std::int32_t* out) {
  k = k < count ? k : count;
  if (k <= 0) { return 0; }
  Threshold threshold;
  int in_bucket = refine(scores, count, k, threshold);
  const bool close_enough = tolerance > 0 && threshold.above >= std::ceil((1.0 - tolerance) * k);
  while (!close_enough && threshold.shift > 0 && threshold.above + in_bucket != k) {
    in_bucket = refine(scores, count, k, threshold);
  }
  int ties = k - threshold.above;
  int written = 0;
  for (int i = 0; i < count && written < k; ++i) {
    const std::uint32_t group = threshold.group(order_key(scores[i]));
    if (group > threshold.prefix || (group == threshold.prefix && ties > 0)) {
      ties -= group == threshold.prefix ? 1 : 0;
      out[written++] = offset + i;
    }
  }
  return written;
}

int merge_ascending(const std::int32_t* a, int a_count, const std::int32_t* b, int b_count, std::int32_t* out) {
  int i = 0;
  int j = 0;
  int written = 0;
  while (i < a_count || j < b_count) {
    const bool take_a = j == b_count || (i < a_count && a[i] <= b[j]);
    const std::int32_t next = take_a ? a[i] : b[j];
    i += i < a_count && a[i] == next ? 1 : 0;
    j += j < b_count && b[j] == next ? 1 : 0;
    out[written++] = next;
  }
  return written;
}

}  // namespace vortex::cpu
