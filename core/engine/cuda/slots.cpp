#include "core/engine/cuda/slots.h"

#include <algorithm>
#include <cstring>

namespace vortex::engine {
namespace {

// Points every array into `base`, 8-byte elements first; gives the bytes used.
size_t lay_out(SlotArrays& arrays, char* base, int slots) {
  const auto n = static_cast<size_t>(slots);
  size_t used = 0;
  const auto place = [&](auto*& pointer, size_t count) {
    using Element = std::remove_reference_t<decltype(*pointer)>;
    pointer = base == nullptr ? nullptr : reinterpret_cast<Element*>(base + used);
    used += count * sizeof(Element);
  };
  place(arrays.seeds, n);
  place(arrays.request_ids, n);
  for (auto member : {&SlotArrays::lengths, &SlotArrays::new_tokens, &SlotArrays::next_tokens, &SlotArrays::remaining,
                      &SlotArrays::produced, &SlotArrays::stopped, &SlotArrays::ignores_stops, &SlotArrays::top_k}) {
    place(arrays.*member, n);
  }
  place(arrays.admitted_tokens, n);
  place(arrays.first_tokens, n);
  place(arrays.move_from, n);
  place(arrays.move_to, n);
  place(arrays.temperatures, n);
  place(arrays.top_p, n);
  place(arrays.ring, n * cuda::kTokenRing);
  place(arrays.finished, n);
  return used;
}

}  // namespace

Status SlotState::create(int slots) {
  slots_ = slots;
  const size_t bytes = lay_out(host_, nullptr, slots);
  VORTEX_TRY(device_memory_.allocate(bytes));
  VORTEX_TRY(host_memory_.allocate(bytes));
  std::memset(host_memory_.data(), 0, bytes);
  lay_out(host_, host_memory_.as<char>(), slots);
  lay_out(device_, device_memory_.as<char>(), slots);
  return ok_status();
}

std::vector<std::pair<int, int>> moves_into_gaps(const std::vector<bool>& ended) {
  std::vector<std::pair<int, int>> moves;
  const auto left = static_cast<size_t>(std::count(ended.begin(), ended.end(), false));
  size_t from = left;
  for (size_t to = 0; to < left; ++to) {
    if (!ended[to]) { continue; }
    while (ended[from]) { ++from; }
    moves.emplace_back(static_cast<int>(from++), static_cast<int>(to));
  }
  return moves;
}

void SlotState::admit(int i, const Request& request) {
  clear(i);
  host_.remaining[i] = request.max_new_tokens;
  host_.ignores_stops[i] = request.ignore_eos ? 1 : 0;
  host_.temperatures[i] = static_cast<float>(request.sampling.temperature);
  host_.top_p[i] = static_cast<float>(request.sampling.top_p);
  host_.top_k[i] = request.sampling.top_k;
  host_.seeds[i] = request.seed;
}

void SlotState::clear(int i) {
  for (auto member : {&SlotArrays::lengths, &SlotArrays::new_tokens, &SlotArrays::next_tokens, &SlotArrays::remaining,
                      &SlotArrays::produced, &SlotArrays::stopped, &SlotArrays::ignores_stops, &SlotArrays::top_k}) {
    (host_.*member)[i] = 0;
  }
  host_.admitted_tokens[i] = 0;
  host_.first_tokens[i] = 0;
  host_.temperatures[i] = 0.0F;
  host_.top_p[i] = 1.0F;
  host_.seeds[i] = 0;
  host_.request_ids[i] = 0;
  host_.finished[i] = 0;
}

void SlotState::clear_all() {
  for (int i = 0; i < slots_; ++i) { clear(i); }
}

void SlotState::move(int from, int to) {
  for (auto member : {&SlotArrays::lengths, &SlotArrays::new_tokens, &SlotArrays::next_tokens, &SlotArrays::remaining,
                      &SlotArrays::produced, &SlotArrays::stopped, &SlotArrays::ignores_stops, &SlotArrays::top_k}) {
    (host_.*member)[to] = (host_.*member)[from];
  }
  host_.temperatures[to] = host_.temperatures[from];
  host_.top_p[to] = host_.top_p[from];
  host_.seeds[to] = host_.seeds[from];
  host_.request_ids[to] = host_.request_ids[from];
  std::copy_n(host_.ring + from * cuda::kTokenRing, cuda::kTokenRing, host_.ring + to * cuda::kTokenRing);
  clear(from);
}

Status SlotState::upload(cudaStream_t stream) {
  return cuda_status(
      cudaMemcpyAsync(device_memory_.data(), host_memory_.data(), host_memory_.bytes(), cudaMemcpyHostToDevice, stream),
      "sending the batch's state");
}

Status SlotState::download(cudaStream_t stream) {
  const char* what = "decoding";
  VORTEX_TRY(cuda_status(
      cudaMemcpyAsync(host_memory_.data(), device_memory_.data(), host_memory_.bytes(), cudaMemcpyDeviceToHost, stream),
      what));
  return cuda_status(cudaStreamSynchronize(stream), what);
}

}  // namespace vortex::engine
