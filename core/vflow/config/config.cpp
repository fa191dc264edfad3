#include "core/vflow/config/config.h"

#include <algorithm>
#include <array>
#include <bit>
#include <climits>
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "base/json.h"
#include "base/text.h"
#include "core/vflow/config/config_scan.h"

namespace vortex::vflow {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

constexpr size_t kMaxConfigBytes = 64 * 1024;
constexpr int kMaxConfigDepth = 8;
constexpr int kMaxConfigKeys = 1024;  // at all depths
constexpr int kMaxBlockSize = 1024;
constexpr std::string_view kPrefix = "vortex_";
constexpr std::string_view kNested = "vortex_config";  // an object of keys without the prefix

// Keys from kKvInt4 on do not reach EngineConfig's own members.
enum class Key : uint8_t {
  kModelPath,
  kModulePath,
  kModuleName,
  kBlockSize,
  kChunkSize,
  kTopkVal,
  kTopkRatio,
  kReservedBos,
  kReservedEos,
  kLayersSkip,
  kMaxSeqLens,
  kDtype,
  kKvDtype,
  kSchedulePolicy,
  kDisableRadixCache,
  kMemFraction,
  kTpSize,
  kKvInt4,
  kHostKvGb,
  kHostKvPoolBlocks,
  kHostKvPolicy,
  kAttentionBackend,
  kImplBackend,
  kTensorCore,
  kMaxTopkVal,
  kCacheDir,
  kDisableCudaGraph,
  kDisableOverlap,
  kSglAttentionBackend,
  kPageSize,
};

struct KeyInfo {
  Key key;
  std::string_view name;
};
constexpr std::array<KeyInfo, 30> kKeys = {{
    {Key::kModelPath, "model_path"},
    {Key::kModulePath, "vortex_module_path"},
    {Key::kModuleName, "vortex_module_name"},
    {Key::kBlockSize, "vortex_block_size"},
    {Key::kChunkSize, "vortex_workload_chunk_size"},
    {Key::kTopkVal, "vortex_topk_val"},
    {Key::kTopkRatio, "vortex_topk_ratio"},
    {Key::kReservedBos, "vortex_block_reserved_bos"},
    {Key::kReservedEos, "vortex_block_reserved_eos"},
    {Key::kLayersSkip, "vortex_layers_skip"},
    {Key::kMaxSeqLens, "vortex_max_seq_lens"},
    {Key::kDtype, "vortex_dtype"},
    {Key::kKvDtype, "kv_cache_dtype"},
    {Key::kSchedulePolicy, "vortex_schedule_policy"},
    {Key::kDisableRadixCache, "disable_radix_cache"},
    {Key::kMemFraction, "mem_fraction_static"},
    {Key::kTpSize, "tp_size"},
    {Key::kKvInt4, "vortex_kv_int4"},
    {Key::kHostKvGb, "vortex_host_kv_gb"},
    {Key::kHostKvPoolBlocks, "vortex_host_kv_pool_blocks"},
    {Key::kHostKvPolicy, "vortex_host_kv_policy"},
    {Key::kAttentionBackend, "vortex_attention_backend"},
    {Key::kImplBackend, "vortex_impl_backend"},
    {Key::kTensorCore, "vortex_use_tensor_core"},
    {Key::kMaxTopkVal, "vortex_max_topk_val"},
    {Key::kCacheDir, "vortex_compilation_cache_dir"},
    {Key::kDisableCudaGraph, "disable_cuda_graph"},
    {Key::kDisableOverlap, "disable_overlap_schedule"},
    {Key::kSglAttentionBackend, "attention_backend"},
    {Key::kPageSize, "page_size"},
}};

struct NamedDtype {
  std::string_view name;
  Dtype dtype;
  int bytes;
};
constexpr std::array<NamedDtype, 5> kDtypes = {{
    {"bfloat16", Dtype::kBf16, 2},
    {"float16", Dtype::kFp16, 2},
    {"float32", Dtype::kFp32, 4},
    {"fp8_e5m2", Dtype::kFp8E5m2, 1},
    {"fp8_e4m3", Dtype::kFp8E4m3, 1},
}};

std::string quote(std::string_view text) { return "\"" + std::string(text.substr(0, 80)) + "\""; }

std::string dump(const ordered_json& value) {
  return value.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
}

// Reads one value into the configuration; every reader reports what is wrong and leaves the default.
class Reader {
 public:
  Reader(Reporter& reporter, EngineConfig& config) : reporter_(reporter), config_(config) {}

  void read(const ConfigMember& member, const ordered_json& value) {
    const auto info = std::find_if(kKeys.begin(), kKeys.end(), [&](const KeyInfo& k) { return k.name == member.key; });
    if (info == kKeys.end()) { return read_unknown(member, value); }
    name_ = info->name;
    span_ = member.value_span;
    const int errors_before = reporter_.errors();
    read_program(info->key, value);
    read_runtime(info->key, value);
    if (info->key >= Key::kKvInt4 && reporter_.errors() == errors_before) {
      config_.passthrough.emplace_back(std::string(name_), dump(value));
    }
  }

 private:
  // vortex_torch hands keys of its engine, SGLang, on, and drops its own that it does not know.
  void read_unknown(const ConfigMember& member, const ordered_json& value) {
    std::vector<std::string> known;
    for (const KeyInfo& key : kKeys) { known.emplace_back(key.name); }
    const auto nearest = nearest_word(member.key, known);
    const std::string remedy = nearest ? "did you mean " + quote(*nearest) + "?" : "";
    if (member.key.starts_with(kPrefix) || member.key.find('\\') != std::string_view::npos) {
      reporter_.error(member.key_span, {"unknown-key", "there is no key " + quote(member.key), "",
                                        nearest ? remedy : "keys are those of vortex_torch's get_engine"});
      return;
    }
    reporter_.warn(member.key_span,
                   {"engine-key", quote(member.key) + " goes through to SGLang; it means nothing here", "", remedy});
    config_.passthrough.emplace_back(std::string(member.key), dump(value));
  }

  // Keys that decide what is computed.
  void read_program(Key key, const ordered_json& value) {
    switch (key) {
      case Key::kModelPath:
        return read_text(value, config_.model_path);
      case Key::kModulePath:
        return read_text(value, config_.module_path);
      case Key::kModuleName:
        return read_text(value, config_.module_name);
      case Key::kBlockSize:
        return read_power(value, config_.block_size, kMaxBlockSize);
      case Key::kChunkSize:
        return read_power(value, config_.workload_chunk_size, 1 << 20);
      case Key::kTopkVal:
        return read_int(value, 1, 1 << 24, config_.topk_val);
      case Key::kTopkRatio:
        if (value.is_null()) { return; }
        return read_number(value, 0, 1, config_.topk_ratio);
      case Key::kReservedBos:
        return read_reserved_bos(value);
      case Key::kReservedEos:
        return read_int(value, 1, 1 << 20, config_.reserved_eos);
      case Key::kLayersSkip:
        return read_layers(value);
      case Key::kMaxSeqLens:
        return read_max_seq_lens(value);
      case Key::kDtype:
        return read_dtype(value);
      case Key::kKvDtype:
        return read_kv_dtype(value);
      case Key::kSchedulePolicy:
        return read_schedule(value);
      case Key::kDisableRadixCache:
        return read_flag(value, config_.disable_radix_cache);
      case Key::kMemFraction:
      case Key::kTpSize:
      case Key::kKvInt4:
      case Key::kHostKvGb:
      case Key::kHostKvPoolBlocks:
      case Key::kHostKvPolicy:
      case Key::kAttentionBackend:
      case Key::kImplBackend:
      case Key::kTensorCore:
      case Key::kMaxTopkVal:
      case Key::kCacheDir:
      case Key::kDisableCudaGraph:
      case Key::kDisableOverlap:
      case Key::kSglAttentionBackend:
      case Key::kPageSize:
        return;  // read_runtime
    }
  }

  // Keys of the engine around it.
  void read_runtime(Key key, const ordered_json& value) {
    bool flag = false;
    int count = 0;
    double number = 0;
    std::string text;
    switch (key) {
      case Key::kMemFraction:
        read_number(value, 0, 1, config_.mem_fraction_static);
        if (config_.mem_fraction_static <= 0) { refuse("must be above 0"); }
        return;
      case Key::kTpSize:
        read_int(value, 1, 1024, config_.tp_size);
        if (config_.tp_size > 1) { missing("tensor parallelism (tp_size > 1)", "set tp_size to 1"); }
        return;
      case Key::kKvInt4:
        read_flag(value, flag);
        if (flag) { missing("an INT4 KV cache (vortex_kv_int4)", "remove the key or set it to false"); }
        return;
      case Key::kHostKvGb:
        read_number(value, 0, 1e6, number);
        if (number > 0) { missing("KV in host memory (vortex_host_kv_gb > 0)", "remove the key or set it to 0"); }
        return;
      case Key::kHostKvPoolBlocks:
        read_int(value, 0, INT_MAX, count);
        if (count > 0) {
          missing("KV in host memory (vortex_host_kv_pool_blocks > 0)", "remove the key or set it to 0");
        }
        return;
      case Key::kHostKvPolicy:
        return read_choice(value, {"lru", "fifo", "full", "none"}, text);
      case Key::kAttentionBackend:
        return read_choice(value, {"flashinfer", "trtllm"}, text);
      case Key::kImplBackend:
        return read_choice(value, {"triton", "cuda"}, text);
      case Key::kTensorCore:
        read_flag(value, flag);
        if (flag) {
          reporter_.warn(
              span_, {"tensor-core",
                      "vortex_use_tensor_core rounds vortex_torch's fused values to bfloat16; here they stay float32"});
        }
        return;
      case Key::kMaxTopkVal:
        if (!value.is_null()) { read_int(value, 1, INT_MAX, count); }
        return;
      case Key::kCacheDir:
        if (!value.is_null()) { read_text(value, text); }
        return;
      case Key::kDisableCudaGraph:
      case Key::kDisableOverlap:
        return read_flag(value, flag);
      case Key::kSglAttentionBackend:
        return read_text(value, text);
      case Key::kPageSize:
        return read_int(value, 1, 1 << 20, count);
      case Key::kModelPath:
      case Key::kModulePath:
      case Key::kModuleName:
      case Key::kBlockSize:
      case Key::kChunkSize:
      case Key::kTopkVal:
      case Key::kTopkRatio:
      case Key::kReservedBos:
      case Key::kReservedEos:
      case Key::kLayersSkip:
      case Key::kMaxSeqLens:
      case Key::kDtype:
      case Key::kKvDtype:
      case Key::kSchedulePolicy:
      case Key::kDisableRadixCache:
        return;  // read_program
    }
  }

  void refuse(std::string message, std::string suggestion = {}) {
    reporter_.error(span_, {"config-value", std::string(name_) + " " + std::move(message), "", std::move(suggestion)});
  }
  void missing(const std::string& feature, std::string suggestion) {
    reporter_.error(span_, {"not-supported", feature + " is not supported by this runtime", "", std::move(suggestion)});
  }

  // A whole number; 2.0 counts as one, as in the original.
  static std::optional<int64_t> whole(const ordered_json& value) {
    if (value.is_number_unsigned() && value.get<uint64_t>() > static_cast<uint64_t>(INT64_MAX)) { return std::nullopt; }
    if (value.is_number_integer()) { return value.get<int64_t>(); }
    if (!value.is_number_float()) { return std::nullopt; }
    const double number = value.get<double>();
    if (std::fabs(number) > 1e15 || number != std::trunc(number)) { return std::nullopt; }
    return static_cast<int64_t>(number);
  }

  void read_int(const ordered_json& value, int low, int high, int& out) {
    const bool integer = value.is_number_integer();
    const std::optional<int64_t> number = whole(value);
    if (!integer || !number || *number < low || *number > high) {
      const std::string range = high == INT_MAX ? "of at least " + std::to_string(low)
                                                : "from " + std::to_string(low) + " to " + std::to_string(high);
      return refuse("must be a whole number " + range + ", got " + dump(value).substr(0, 60));
    }
    out = static_cast<int>(*number);
  }

  void read_power(const ordered_json& value, int& out, int high) {
    const std::optional<int64_t> number = whole(value);
    if (!value.is_number_integer() || !number || *number < 1 || *number > high ||
        !std::has_single_bit(static_cast<uint64_t>(*number))) {
      return refuse("must be a power of two up to " + std::to_string(high) + ", got " + dump(value).substr(0, 60),
                    "16 is usual for block sizes");
    }
    out = static_cast<int>(*number);
  }

  void read_number(const ordered_json& value, double low, double high, double& out) {
    if (!value.is_number() || !(value.get<double>() >= low) || !(value.get<double>() <= high)) {
      return refuse("must be a number from " + format_number(low) + " to " + format_number(high) + ", got " +
                    dump(value).substr(0, 60));
    }
    out = value.get<double>();
  }

  void read_flag(const ordered_json& value, bool& out) {
    if (!value.is_boolean()) { return refuse("must be true or false, got " + dump(value).substr(0, 60)); }
    out = value.get<bool>();
  }

  void read_text(const ordered_json& value, std::string& out) {
    if (!value.is_string()) { return refuse("must be a string, got " + dump(value).substr(0, 60)); }
    out = value.get<std::string>();
  }

  void read_choice(const ordered_json& value, const std::vector<std::string>& choices, std::string& out) {
    if (value.is_string() && std::find(choices.begin(), choices.end(), value.get<std::string>()) != choices.end()) {
      out = value.get<std::string>();
      return;
    }
    const auto nearest = value.is_string() ? nearest_word(value.get<std::string>(), choices) : std::nullopt;
    refuse("must be one of " + join(choices, ", ") + ", got " + dump(value).substr(0, 60),
           nearest ? "did you mean " + quote(*nearest) + "?" : "");
  }

  void read_layers(const ordered_json& value) {
    if (value.is_null()) {
      return;  // get_engine's default, layer 0
    }
    if (!value.is_array()) {
      return refuse("must be a list of layer numbers, got " + dump(value).substr(0, 60), "[] makes every layer sparse");
    }
    std::vector<int> layers;
    for (const ordered_json& item : value) {
      const std::optional<int64_t> layer = whole(item);
      if (!layer || *layer < 0 || *layer > 100'000) {
        return refuse("must hold layer numbers from 0 up, got " + dump(item).substr(0, 60));
      }
      layers.push_back(static_cast<int>(*layer));
    }
    std::sort(layers.begin(), layers.end());
    layers.erase(std::unique(layers.begin(), layers.end()), layers.end());
    config_.layers_skip = std::move(layers);
  }

  void read_reserved_bos(const ordered_json& value) {
    read_int(value, 0, 1 << 20, config_.reserved_bos);
    if (config_.reserved_bos > 0) { return; }
    reporter_.warn(span_, {"no-reserved-bos",
                           "vortex_torch plans with vortex_block_reserved_bos 0, but check_engine_config refuses it",
                           "", "1 keeps the first page, which attention sinks into"});
  }

  void read_max_seq_lens(const ordered_json& value) {
    if (value.is_number_integer() && whole(value) == -1) {
      config_.max_seq_lens = -1;
      return;
    }
    read_int(value, 1, INT_MAX, config_.max_seq_lens);
  }

  void read_dtype(const ordered_json& value) {
    std::vector<std::string> names;
    for (const NamedDtype& known : kDtypes) { names.emplace_back(known.name); }
    std::string name;
    read_choice(value, names, name);
    for (const NamedDtype& known : kDtypes) {
      if (known.name != name) { continue; }
      if (known.dtype == Dtype::kBf16 || known.dtype == Dtype::kFp32) {
        config_.dtype = known.dtype;
      } else {
        missing("vortex_dtype " + quote(name), "use \"bfloat16\" or \"float32\"");
      }
    }
  }

  void read_kv_dtype(const ordered_json& value) {
    std::string name;
    // float32 is ours: vortex_torch's "auto" is the model's own type, which for a float32 model is that.
    read_choice(value, {"auto", "bfloat16", "float32", "fp8_e5m2", "fp8_e4m3"}, name);
    for (const NamedDtype& known : kDtypes) {  // "auto" is the default, bfloat16
      if (known.name == name) { config_.kv_dtype = known.dtype; }
    }
  }

  void read_schedule(const ordered_json& value) {
    if (value.is_null()) { return; }
    std::string source;
    read_text(value, source);
    if (source.empty()) { return; }
    std::vector<Diagnostic> findings;
    Schedule schedule = Schedule::compile(source, "vortex_schedule_policy", findings);
    // The snippet's own lines are what its author knows; the key's place in the file is where it is repaired.
    for (const Diagnostic& finding : findings) {
      const std::string at =
          " (line " + std::to_string(finding.line) + ", column " + std::to_string(finding.column) + " of the snippet)";
      reporter_.error(span_, {finding.code, "vortex_schedule_policy: " + finding.message + at, finding.allowed,
                              finding.suggestion});
    }
    if (!findings.empty()) { return; }
    config_.schedule_policy = std::move(source);
    config_.schedule = std::move(schedule);
  }

  Reporter& reporter_;
  EngineConfig& config_;
  std::string_view name_;
  Span span_;
};

bool is_known(std::string_view name) {
  return std::any_of(kKeys.begin(), kKeys.end(), [&](const KeyInfo& info) { return info.name == name; });
}

// VortexConfig's own form leaves the prefix out: in a file of its own, where then no key has it.
bool leaves_prefix_out(const std::vector<ConfigMember>& members) {
  return std::none_of(members.begin(), members.end(), [](const ConfigMember& m) { return m.key.starts_with(kPrefix); });
}

// The parsed object, or null after a report.
json parse_object(std::string_view text, Reporter& reporter) {
  if (has_zero_byte(text)) {
    const auto at = static_cast<uint32_t>(text.find('\0'));
    reporter.error({at, at + 1}, {"config-syntax", "the configuration is not valid JSON: a zero byte"});
    return nullptr;
  }
  try {
    json object = json::parse(text);
    if (object.is_object()) { return object; }
    reporter.error({0, 1},
                   {"config-syntax", "the configuration must be a JSON object", "{\"vortex_module_name\": ..., ...}"});
  } catch (const json::parse_error& error) {
    const auto at = static_cast<uint32_t>(std::min(error.byte > 0 ? error.byte - 1 : 0, text.size()));
    std::string message = error.what();
    // The library's text starts with its own name and position: "[json.exception...] parse error at line 1, column 2:
    // ".
    const size_t colon = message.find(": ");
    if (colon != std::string::npos) { message = message.substr(colon + 2); }
    reporter.error({at, at + 1}, {"config-syntax", "the configuration is not valid JSON: " + message});
  } catch (const json::exception& error) {
    reporter.error({0, 1}, {"config-syntax", std::string("the configuration is not valid JSON: ") + error.what()});
  }
  return nullptr;
}

// Relations between values.
void check_relations(const EngineConfig& config, const std::vector<ConfigMember>& members, const json& object,
                     Reporter& reporter) {
  const auto span_of = [&](std::string_view key) {
    const auto at = std::find_if(members.begin(), members.end(), [&](const ConfigMember& m) { return m.key == key; });
    return at == members.end() ? Span{0, 1} : at->value_span;
  };
  const auto page = object.find("page_size");
  if (page != object.end() && page->is_number_integer()) {
    const auto size = page->get<int64_t>();
    const int64_t blocks = size / config.block_size;
    if (size > 0 && size % config.block_size != 0) {
      reporter.error(span_of("page_size"),
                     {"config-value", "page_size " + std::to_string(size) + " is not a multiple of vortex_block_size " +
                                          std::to_string(config.block_size)});
    } else if (blocks > 0 && config.workload_chunk_size % blocks != 0) {
      reporter.error(
          span_of("page_size"),
          {"config-value", "vortex_workload_chunk_size " + std::to_string(config.workload_chunk_size) +
                               " is not a multiple of page_size / vortex_block_size = " + std::to_string(blocks)});
    }
  }
  const auto backend = object.find("vortex_impl_backend");
  const auto tensor_core = object.find("vortex_use_tensor_core");
  if (tensor_core != object.end() && *tensor_core == true && backend != object.end() && *backend == "cuda") {
    reporter.error(span_of("vortex_impl_backend"),
                   {"config-value", "vortex_use_tensor_core needs vortex_impl_backend \"triton\""});
  }
  const auto max_topk = object.find("vortex_max_topk_val");
  if (max_topk != object.end() && max_topk->is_number_integer() && max_topk->get<int64_t>() < config.topk_val) {
    reporter.error(span_of("vortex_max_topk_val"),
                   {"config-value", "vortex_max_topk_val " + std::to_string(max_topk->get<int64_t>()) +
                                        " is below vortex_topk_val " + std::to_string(config.topk_val)});
  }
}

}  // namespace

std::string_view dtype_name(Dtype dtype) { return kDtypes[static_cast<size_t>(dtype)].name; }
int dtype_bytes(Dtype dtype) { return kDtypes[static_cast<size_t>(dtype)].bytes; }

EngineConfig parse_config(std::string_view json_text, std::string_view source, std::vector<Diagnostic>& diagnostics) {
  EngineConfig config;
  const Source text(source, json_text);
  Reporter reporter(text, diagnostics);
  if (json_text.size() > kMaxConfigBytes) {
    reporter.error({0, 1}, {"limit", "the configuration is longer than " + std::to_string(kMaxConfigBytes) + " bytes"});
    return config;
  }
  const ConfigScan scan = scan_config(json_text);
  if (scan.depth > kMaxConfigDepth) {
    reporter.error({0, 1},
                   {"limit", "the configuration is nested more than " + std::to_string(kMaxConfigDepth) + " deep"});
    return config;
  }
  if (scan.keys > kMaxConfigKeys) {
    reporter.error({0, 1}, {"limit", "the configuration has more than " + std::to_string(kMaxConfigKeys) + " keys"});
    return config;
  }
  const json object = parse_object(json_text, reporter);
  if (object.is_null()) { return config; }
  Reader reader(reporter, config);
  std::set<std::string_view> seen;
  const bool bare = leaves_prefix_out(scan.members);
  for (const ConfigMember& member : scan.members) {
    if (!seen.insert(member.key).second) {
      reporter.error(member.key_span, {"duplicate-key", "the key " + quote(member.key) + " appears twice"});
      continue;
    }
    // One by one: an ordered object is searched from its beginning for every key that it is given.
    const ordered_json given = ordered_json::parse(text.at(member.value_span), nullptr, false);
    const std::string prefixed = std::string(kPrefix) + std::string(member.key);
    if (member.key == kNested && given.is_object()) {
      for (const auto& [key, inner] : given.items()) {
        const std::string name = key.starts_with(kPrefix) ? key : std::string(kPrefix) + key;
        reader.read({name, member.key_span, member.value_span}, inner);
      }
    } else if (bare && !is_known(member.key) && is_known(prefixed)) {
      reader.read({prefixed, member.key_span, member.value_span}, given);
    } else {
      reader.read(member, given);
    }
  }
  check_relations(config, scan.members, object, reporter);
  return config;
}

std::string print_config(const EngineConfig& config) {
  ordered_json object = ordered_json::object();
  if (!config.model_path.empty()) { object["model_path"] = config.model_path; }
  if (!config.module_path.empty()) { object["vortex_module_path"] = config.module_path; }
  if (!config.module_name.empty()) { object["vortex_module_name"] = config.module_name; }
  object["vortex_block_size"] = config.block_size;
  object["vortex_workload_chunk_size"] = config.workload_chunk_size;
  object["vortex_topk_val"] = config.topk_val;
  object["vortex_topk_ratio"] = config.topk_ratio;
  object["vortex_block_reserved_bos"] = config.reserved_bos;
  object["vortex_block_reserved_eos"] = config.reserved_eos;
  object["vortex_layers_skip"] = config.layers_skip;
  object["vortex_max_seq_lens"] = config.max_seq_lens;
  object["vortex_dtype"] = dtype_name(config.dtype);
  object["kv_cache_dtype"] = config.kv_dtype == Dtype::kBf16 ? "auto" : dtype_name(config.kv_dtype);
  if (!config.schedule_policy.empty()) { object["vortex_schedule_policy"] = config.schedule_policy; }
  object["mem_fraction_static"] = config.mem_fraction_static;
  object["tp_size"] = config.tp_size;
  object["disable_radix_cache"] = config.disable_radix_cache;
  for (const KeyInfo& info : kKeys) {
    for (const auto& [key, value] : config.passthrough) {
      if (key == info.name) { object[key] = ordered_json::parse(value, nullptr, false); }
    }
  }
  for (const auto& [key, value] : config.passthrough) {
    if (!is_known(key)) { object[key] = ordered_json::parse(value, nullptr, false); }
  }
  return object.dump(2, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

ScheduleInputs schedule_inputs(const EngineConfig& config, int blocks) {
  return {blocks, config.topk_val, config.topk_ratio, config.reserved_bos, config.reserved_eos};
}

int selected_blocks(const EngineConfig& config, int blocks) {
  return std::min(config.schedule.budget(schedule_inputs(config, blocks)), blocks);
}

bool layer_is_dense(const EngineConfig& config, int layer) {
  return std::find(config.layers_skip.begin(), config.layers_skip.end(), layer) != config.layers_skip.end();
}

}  // namespace vortex::vflow
