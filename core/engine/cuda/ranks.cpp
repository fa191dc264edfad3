#include "core/engine/cuda/ranks.h"

#include <algorithm>
#include <set>
#include <string>

namespace vortex::engine {
namespace {

constexpr size_t kSpareOffset = 16;  // bytes, behind the fault
constexpr size_t kSmallBytes = 32;
constexpr int kSpareCount = 8;
constexpr int kCallNumbers = 1 << 24;
constexpr float kLargestExact = 16777216.0F;

// Lets `device` store to the others' memory.
Status enable_peers(int device, const std::set<int>& devices) {
  VORTEX_TRY(cuda_status(cudaSetDevice(device), "choosing the device"));
  for (const int other : devices) {
    if (other == device) { continue; }
    int can = 0;
    VORTEX_TRY(cuda_status(cudaDeviceCanAccessPeer(&can, device, other), "asking for peer access"));
    if (can == 0) {
      return environment_error(
          "CUDA device " + std::to_string(device) + " cannot store to the memory of device " + std::to_string(other),
          "use devices that NVLink or one PCIe switch connects");
    }
    const cudaError_t error = cudaDeviceEnablePeerAccess(other, 0);
    if (error == cudaErrorPeerAccessAlreadyEnabled) {
      cudaGetLastError();  // not sticky
    } else {
      VORTEX_TRY(cuda_status(error, "connecting devices"));
    }
  }
  return ok_status();
}

}  // namespace

CudaRanks::CudaRanks(std::vector<int> devices, double wait_seconds, double host_wait_seconds)
    : devices_(std::move(devices)),
      wait_seconds_(wait_seconds),
      host_(static_cast<int>(devices_.size()), host_wait_seconds),
      inboxes_(devices_.size()),
      small_(devices_.size()) {}

Result<std::shared_ptr<CudaRanks>> CudaRanks::make(const std::vector<int>& devices, int64_t inbox_bytes,
                                                   double wait_seconds, double host_wait_seconds) {
  std::shared_ptr<CudaRanks> made(new CudaRanks(devices, wait_seconds, host_wait_seconds));
  made->inbox_bytes_ = (inbox_bytes + 31) / 32 * 32;
  const std::set<int> distinct(devices.begin(), devices.end());
  for (const int device : distinct) { VORTEX_TRY(enable_peers(device, distinct)); }
  for (size_t rank = 0; rank < devices.size(); ++rank) {
    const char* what = "making inboxes of ranks";
    VORTEX_TRY(cuda_status(cudaSetDevice(devices[rank]), what));
    VORTEX_TRY(made->inboxes_[rank].allocate(static_cast<size_t>(made->inbox_bytes_)));
    VORTEX_TRY(made->small_[rank].allocate(kSmallBytes));
    VORTEX_TRY(cuda_status(cudaMemset(made->inboxes_[rank].data(), 0xff, made->inboxes_[rank].bytes()), what));
    VORTEX_TRY(cuda_status(cudaMemset(made->small_[rank].data(), 0, kSmallBytes), what));
    VORTEX_TRY(cuda_status(cuda::load_exchanges(static_cast<int>(devices.size())), what));
    VORTEX_TRY(cuda_status(cudaDeviceSynchronize(), what));
  }
  VORTEX_TRY(cuda_status(cudaSetDevice(devices[0]), "choosing the device"));
  return made;
}

cuda::Peers CudaRanks::peers(int rank) const {
  cuda::Peers peers;
  peers.rank = rank;
  peers.ranks = ranks();
  for (size_t to = 0; to < inboxes_.size(); ++to) { peers.inboxes[to] = inboxes_[to].as<std::uint8_t>(); }
  peers.inbox_bytes = inbox_bytes_;
  peers.wait_ns = static_cast<std::uint64_t>(wait_seconds_ * 1e9);
  peers.fault = small_[static_cast<size_t>(rank)].as<std::uint32_t>();
  peers.shares_device = std::count(devices_.begin(), devices_.end(), device(rank)) > 1;
  return peers;
}

cuda::Bf16* CudaRanks::spare(int rank) const {
  return reinterpret_cast<cuda::Bf16*>(small_[static_cast<size_t>(rank)].as<char>() + kSpareOffset);
}

template <class Args>
void RankLink::number(Args& args) {
  args.peers = all_->peers(plan_.rank);
  args.turn = static_cast<int>(calls_ % 2);
  args.call = static_cast<int>(calls_ % kCallNumbers);
  ++calls_;
}

Status RankLink::reduce_norm(cuda::AllReduceNorm args, cudaStream_t stream) {
  number(args);
  const cuda::ExchangeSchedule schedule = cuda::plan_row_exchange(args.peers, args.rows, args.width);
  return cuda_status(cuda::all_reduce_norm(args, schedule, stream), "adding up ranks");
}

Status RankLink::reduce_factors(const cuda::HeadFactors& heads, cudaStream_t stream) {
  cuda::AllReduceFactors args;
  number(args);
  args.qkv = heads.qkv;
  args.factors = heads.factors;
  args.num_tokens = heads.num_tokens;
  args.num_q_heads = heads.num_q_heads;
  args.num_kv_heads = heads.num_kv_heads;
  args.head_dim = heads.head_dim;
  args.epsilon = heads.epsilon;
  return cuda_status(cuda::all_reduce_factors(args, stream), "normalising heads of all ranks");
}

Status RankLink::gather(float* logits, int rows, int stride, cudaStream_t stream) {
  cuda::AllGather args;
  args.columns = plan_.vocab.count;
  args.stride = stride;
  const int64_t row = cuda::inbox_bytes_for_gather(all_->ranks(), 1, args.columns);
  const auto most = static_cast<int>(std::max<int64_t>(1, all_->peers(plan_.rank).inbox_bytes / row));
  for (int first = 0; first < rows; first += most) {
    number(args);
    args.rows_of_floats = logits + int64_t{first} * stride;
    args.rows = std::min(most, rows - first);
    VORTEX_TRY(cuda_status(cuda::all_gather(args, stream), "gathering logits"));
  }
  return ok_status();
}

Status RankLink::end(cudaStream_t stream) {
  if (calls_ % 2 == 0) { return ok_status(); }
  cuda::AllReduce args;
  number(args);
  args.x = all_->spare(plan_.rank);
  args.out = all_->spare(plan_.rank);
  args.count = kSpareCount;
  return cuda_status(cuda::all_reduce(args, {false, 1}, stream), "ending a step of ranks");
}

Status RankLink::meet() {
  VORTEX_TRY(least(0));
  return ok_status();
}

Result<int> RankLink::least(int value) {
  std::vector<float> values(static_cast<size_t>(all_->ranks()));
  values[static_cast<size_t>(plan_.rank)] = std::min(static_cast<float>(value), kLargestExact);
  VORTEX_TRY(all_->host().all_gather(plan_.rank, values.data(), 1, 1, all_->ranks()));
  return static_cast<int>(*std::min_element(values.begin(), values.end()));
}

Status RankLink::check() const {
  std::uint32_t code = 0;
  VORTEX_TRY(cuda_status(cudaMemcpy(&code, all_->peers(plan_.rank).fault, sizeof(code), cudaMemcpyDeviceToHost),
                         "looking after ranks"));
  if (code == 0) { return ok_status(); }
  const cuda::ExchangeFault fault = cuda::fault_of(code);
  return environment_error("rank " + std::to_string(fault.from) + " of the model sent nothing for " +
                               std::to_string(all_->wait_seconds()) + " s (rank " + std::to_string(plan_.rank) +
                               ", exchange " + std::to_string(fault.call) + ")",
                           "see whether its device is in use or has failed: nvidia-smi");
}

}  // namespace vortex::engine
