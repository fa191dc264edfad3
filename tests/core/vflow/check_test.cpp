#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>

#include "base/files.h"
#include "base/rng.h"
#include "base/text.h"
#include "core/vflow/graph/op_table.h"
#include "tests/core/vflow/check_cases.h"

namespace vortex::vflow {
namespace {

using nlohmann::ordered_json;
namespace fs = std::filesystem;

const fs::path kSource = VORTEX_SOURCE_DIR;

std::string read(const fs::path& path) {
  const Result<std::string> text = read_file(path);
  if (!text.ok()) { ADD_FAILURE() << text.error().message; }
  return text.ok() ? *text : std::string();
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  for (size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size())) {
    text.replace(at, from.size(), to);
  }
  return text;
}

// Replaces the one occurrence of `before`; further lines of `after` are indented like the line it stands in.
void edit(std::string& text, const std::string& before, const std::vector<std::string>& after,
          const std::string& name) {
  const size_t at = text.find(before);
  if (at == std::string::npos || text.find(before, at + 1) != std::string::npos) {
    ADD_FAILURE() << name << ": \"" << before << "\" does not occur exactly once";
    return;
  }
  const size_t line = text.rfind('\n', at) + 1;
  const std::string margin = text.substr(line, text.find_first_not_of(' ', line) - line);
  std::string joined;
  for (size_t i = 0; i < after.size(); ++i) {
    if (i > 0) { joined += "\n" + (after[i].empty() ? "" : margin); }
    joined += after[i];
  }
  text.replace(at, before.size(), joined);
}

struct RawCase {
  std::string name;
  std::string base = "block_topk";
  std::vector<std::pair<std::string, std::vector<std::string>>> edits;
  ordered_json config = ordered_json::object();
  std::vector<std::string> drops;
  std::string flags;
  CheckCase result;
};

CheckCase finish(RawCase raw) {
  fs::path base = kSource / "examples/policies" / raw.base;
  if (!fs::exists(base.string() + ".py")) { base = kSource / "tests/cases/check/modules" / raw.base; }
  CheckCase result = std::move(raw.result);
  result.name = raw.name;
  result.source.module_text = read(base.string() + ".py");
  for (const auto& [before, after] : raw.edits) { edit(result.source.module_text, before, after, raw.name); }
  ordered_json config = ordered_json::parse(read(base.string() + ".json"));
  for (const auto& [key, value] : raw.config.items()) { config[key] = value; }
  for (const std::string& key : raw.drops) { config.erase(key); }
  // One key a line, lists included.
  std::string text = "{\n";
  for (auto member = config.begin(); member != config.end(); ++member) {
    text += "  \"" + member.key() + "\": " + member->dump() + (std::next(member) == config.end() ? "\n" : ",\n");
  }
  result.source.config_text = text + "}\n";
  std::string& module = result.source.module_text;
  if (raw.flags.find("crlf") != std::string::npos) { module = replaced(module, "\n", "\r\n"); }
  if (raw.flags.find("tabs") != std::string::npos) { module = replaced(module, "    ", "\t"); }
  if (raw.flags.find("bom") != std::string::npos) { module = "\xEF\xBB\xBF" + module; }
  return result;
}

std::vector<CheckCase> load_file(const fs::path& path) {
  std::vector<CheckCase> cases;
  std::optional<RawCase> raw;
  const auto close = [&] {
    if (raw) { cases.push_back(finish(std::move(*raw))); }
    raw.reset();
  };
  for (const std::string& line : split_lines(read(path))) {
    const auto rest = [&](size_t prefix) { return line.size() > prefix ? line.substr(prefix) : std::string(); };
    if (line.starts_with("== ")) {
      close();
      raw.emplace();
      raw->name = path.stem().string() + ": " + rest(3);
    } else if (!raw || line.empty()) {
      continue;
    } else if (line.starts_with("base ")) {
      raw->base = rest(5);
    } else if (line.starts_with("- ")) {
      raw->edits.emplace_back(rest(2), std::vector<std::string>());
    } else if (line[0] == '+') {
      raw->edits.back().second.push_back(rest(2));
    } else if (line.starts_with("config ")) {
      raw->config = ordered_json::parse(rest(7));
    } else if (line.starts_with("drop ")) {
      raw->drops.push_back(rest(5));
    } else if (line.starts_with("text ")) {
      raw->flags = rest(5);
    } else if (line == "! ok") {
      raw->result.ok = true;
    } else if (line.starts_with("! ")) {
      raw->result.findings.push_back(rest(2));
    } else if (line.starts_with("has ")) {
      raw->result.texts.push_back(rest(4));
    } else {
      ADD_FAILURE() << path << ": what is \"" << line << "\"?";
    }
  }
  close();
  return cases;
}

std::string summary(const Diagnostic& finding, const PolicySource& source) {
  const std::string severity = finding.severity == Severity::kError ? "error " : "warning ";
  const std::string file = finding.file == source.config_file ? "config:" : "";
  return severity + finding.code + " " + file + std::to_string(finding.line) + ":" + std::to_string(finding.column);
}

// "! error limit" matches any place.
bool matches(const std::string& expected, const std::string& actual) {
  return expected == actual ||
         (std::count(expected.begin(), expected.end(), ' ') == 2 && actual.starts_with(expected + " "));
}

}  // namespace

std::vector<CheckCase> load_check_cases() {
  std::vector<fs::path> paths;
  for (const auto& entry : fs::directory_iterator(kSource / "tests/cases/check")) {
    if (entry.path().extension() == ".cases") { paths.push_back(entry.path()); }
  }
  std::sort(paths.begin(), paths.end());
  std::vector<CheckCase> cases;
  for (const fs::path& path : paths) {
    for (CheckCase& one : load_file(path)) { cases.push_back(std::move(one)); }
  }
  return cases;
}

std::vector<PolicySource> load_modules() {
  std::vector<PolicySource> modules;
  for (const char* folder : {"examples/policies", "examples/policies/mla", "tests/cases/check/modules"}) {
    for (const auto& entry : fs::directory_iterator(kSource / folder)) {
      if (entry.path().extension() != ".py") { continue; }
      PolicySource source;
      source.module_file = entry.path().filename().string();
      source.module_text = read(entry.path());
      source.config_text = read(fs::path(entry.path()).replace_extension(".json"));
      modules.push_back(std::move(source));
    }
  }
  std::sort(modules.begin(), modules.end(), [](const auto& a, const auto& b) { return a.module_file < b.module_file; });
  return modules;
}

ModelGeometry test_model(bool mla) {
  ModelGeometry model;
  model.layers = 4;
  model.num_q_heads = 8;
  model.num_kv_heads = mla ? 1 : 4;
  model.head_dim = 64;
  model.max_context = 4608;
  model.kv_lora_rank = mla ? 512 : 0;
  model.rope_dim = mla ? 64 : 0;
  return model;
}

namespace {

TEST(Check, Cases) {
  const std::vector<CheckCase> cases = load_check_cases();
  EXPECT_GT(cases.size(), 100U);
  for (const CheckCase& one : cases) {
    SCOPED_TRACE(one.name);
    const bool mla = one.source.module_text.find("(vFlowMLA)") != std::string::npos;
    const CheckReport report = check_policy(one.source, test_model(mla));
    std::vector<std::string> actual;
    for (const Diagnostic& finding : report.diagnostics) { actual.push_back("! " + summary(finding, one.source)); }
    bool good = actual.size() == one.findings.size();
    for (size_t i = 0; good && i < actual.size(); ++i) { good = matches("! " + one.findings[i], actual[i]); }
    const std::string text = render(report.diagnostics);
    EXPECT_TRUE(good) << join(actual, "\n") << "\n" << text;
    EXPECT_EQ(report.policy.has_value(), one.ok) << text;
    for (const std::string& expected : one.texts) {
      EXPECT_NE(text.find(expected), std::string::npos) << expected << " is not in\n" << text;
    }
  }
}

TEST(Check, ExamplesAndModulesCheckWithoutFindings) {
  const std::vector<PolicySource> modules = load_modules();
  EXPECT_GE(modules.size(), 17U);
  for (const PolicySource& source : modules) {
    SCOPED_TRACE(source.module_file);
    const bool mla = source.module_text.find("(vFlowMLA)") != std::string::npos;
    const CheckReport report = check_policy(source, test_model(mla));
    EXPECT_TRUE(report.policy.has_value());
    EXPECT_EQ(render(report.diagnostics), "");
  }
}

// Damaged text must end in a report, never in a crash or without end. Deterministic: the same damage every run.
TEST(Check, SurvivesDamagedText) {
  std::vector<PolicySource> sources = load_modules();
  for (const CheckCase& one : load_check_cases()) { sources.push_back(one.source); }
  Rng rng(7);
  int refused = 0;
  for (const PolicySource& original : sources) {
    for (int round = 0; round < 12; ++round) {
      PolicySource source = original;
      std::string& text = round % 4 == 3 ? source.config_text : source.module_text;
      const std::string& other = sources[rng.below(sources.size())].module_text;
      for (uint64_t edits = 1 + rng.below(3); edits > 0; --edits) {
        const size_t at = rng.below(text.size() + 1);
        const size_t length = std::min<size_t>(rng.below(40), text.size() - at);
        switch (rng.below(4)) {
          case 0:
            text.erase(at, length);
            break;
          case 1:
            text.insert(at, 1, static_cast<char>(rng.below(256)));
            break;
          case 2:
            text.insert(at, text.substr(at, length));
            break;
          default:
            text.replace(at, length, other.substr(rng.below(other.size()), rng.below(60)));
        }
      }
      const CheckReport report = check_policy(source, test_model(round % 5 == 4));
      EXPECT_EQ(report.policy.has_value(), !has_errors(report.diagnostics));
      for (const Diagnostic& finding : report.diagnostics) {
        EXPECT_FALSE(ordered_json::parse(to_json(finding), nullptr, false).is_discarded());
      }
      if (!report.policy) { ++refused; }
    }
  }
  EXPECT_GT(refused, 100);
}

// Inputs that the fuzzers of tests/fuzz found worth keeping.
TEST(Check, FuzzCorpus) {
  size_t replayed = 0;
  for (const auto& entry : fs::directory_iterator(kSource / "tests/fuzz/corpus/check")) {
    const std::string bytes = read(entry.path());
    const size_t split = bytes.find('\0');
    PolicySource source;
    source.module_text = bytes.substr(0, split);
    source.config_text = split == std::string::npos ? "{}" : bytes.substr(split + 1);
    const CheckReport report = check_policy(source, test_model(bytes.find("vFlowMLA") != std::string::npos));
    EXPECT_EQ(report.policy.has_value(), !has_errors(report.diagnostics)) << entry.path();
    ++replayed;
  }
  EXPECT_GT(replayed, 0U);
}

TEST(Check, MemoryIsPricedAgainstTheModel) {
  const fs::path base = kSource / "examples/policies/block_topk";
  PolicySource source;
  source.module_text = read(base.string() + ".py");
  source.config_text = read(base.string() + ".json");
  ModelGeometry model = test_model();
  // 288 pages x 4 heads x 4 layers x (2 x 16 x 64 x 2 + 64 x 2) bytes.
  const int64_t needed = int64_t{288} * 4 * 4 * (4096 + 128);
  model.kv_memory_bytes = needed;
  EXPECT_TRUE(check_policy(source, model).policy.has_value());
  model.kv_memory_bytes = needed - 1;
  const CheckReport report = check_policy(source, model);
  ASSERT_EQ(report.diagnostics.size(), 1U);
  EXPECT_EQ(report.diagnostics[0].code, "memory");
  EXPECT_NE(report.diagnostics[0].message.find("centroid [1, 64] 128 B"), std::string::npos);
  model.kv_memory_bytes = 0;
  model.max_context = 32768 * 16;
  EXPECT_EQ(check_policy(source, model).diagnostics[0].code, "too-many-pages");
}

TEST(Check, ATokenBudgetBoundsWhatIsChosenAtAnyLength) {
  const fs::path base = kSource / "examples/policies/block_topk";
  PolicySource source;
  source.module_text = read(base.string() + ".py");
  const auto diagnosed = [&](const std::string& config, int budget) {
    source.config_text = "{\"vortex_module_name\": \"block_topk\", \"vortex_block_size\": 16, " + config + "}";
    ModelGeometry model = test_model();  // 288 pages
    model.token_budget = budget;
    const CheckReport report = check_policy(source, model);
    std::string code = report.policy ? "" : "none";
    for (const Diagnostic& diagnostic : report.diagnostics) {
      if (diagnostic.severity == Severity::kError) { code = diagnostic.code; }
    }
    return code;
  };
  EXPECT_EQ(diagnosed("\"vortex_topk_val\": 16", 256), "");
  EXPECT_EQ(diagnosed("\"vortex_topk_val\": 17", 256), "token-budget");
  EXPECT_EQ(diagnosed("\"vortex_topk_val\": 17", 0), "") << "no budget";
  // Of 288 pages 27 by the ratio, of which 2 are reserved.
  const std::string ratio =
      "\"vortex_topk_val\": 4, \"vortex_topk_ratio\": 0.095, \"vortex_block_reserved_bos\": 1, "
      "\"vortex_block_reserved_eos\": 1";
  EXPECT_EQ(diagnosed(ratio, 25 * 16), "");
  EXPECT_EQ(diagnosed(ratio, 25 * 16 - 1), "token-budget");
  // More in the middle than at the longest context: a rule of its own is asked at every length.
  const std::string hill =
      "\"vortex_topk_val\": 4, \"vortex_block_reserved_bos\": 1, \"vortex_block_reserved_eos\": 1, "
      "\"vortex_schedule_policy\": \"return cached_block_len == 100 ? 42 : 6;\"";
  EXPECT_EQ(diagnosed(hill, 40 * 16), "");
  EXPECT_EQ(diagnosed(hill, 39 * 16), "token-budget");
  // Whoever attends to everything chooses nothing.
  EXPECT_EQ(diagnosed("\"vortex_topk_val\": 288", 16), "");
}

TEST(Check, ModelsThatMakeNoSenseAreRefused) {
  PolicySource source;
  ModelGeometry model = test_model();
  model.num_kv_heads = 3;
  ASSERT_EQ(check_policy(source, model).diagnostics.size(), 1U);
  EXPECT_EQ(check_policy(source, model).diagnostics[0].code, "model");
  model.num_kv_heads = 0;
  EXPECT_EQ(check_policy(source, model).diagnostics[0].code, "model");
}

TEST(Check, DialectMustFitTheModel) {
  const fs::path base = kSource / "examples/policies/block_topk";
  PolicySource source;
  source.module_text = read(base.string() + ".py");
  source.config_text = read(base.string() + ".json");
  const CheckReport report = check_policy(source, test_model(true));
  ASSERT_FALSE(report.diagnostics.empty());
  EXPECT_EQ(report.diagnostics[0].code, "dialect");
}

}  // namespace
}  // namespace vortex::vflow
