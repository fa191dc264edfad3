#include "agent/prompts/sections.h"

#include <algorithm>
#include <cstdarg>
#include <cstdio>

#include "base/escape.h"
#include "base/text.h"

namespace vortex::agent {
namespace {

using nlohmann::json;

constexpr size_t kShownParents = 4;              // whose sources are printed
constexpr size_t kMaxSource = size_t{12} << 10;  // bytes of one
constexpr size_t kMaxLine = 400;                 // bytes of one of its lines

__attribute__((format(printf, 1, 2))) std::string format(const char* pattern, ...) {
  va_list arguments;
  va_start(arguments, pattern);
  va_list again;
  va_copy(again, arguments);
  std::string text(static_cast<size_t>(std::vsnprintf(nullptr, 0, pattern, arguments)), '\0');
  va_end(arguments);
  std::vsnprintf(text.data(), text.size() + 1, pattern, again);
  va_end(again);
  return text;
}

double number(const json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_number() ? found->get<double>() : 0.0;
}

std::string text(const json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

std::string interval(const json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end()) { return "-"; }
  const double value = number(*found, "value");
  const double lo = number(*found, "lo");
  const double hi = number(*found, "hi");
  return lo == hi ? format("%.3f", value) : format("%.3f (%.3f to %.3f)", value, lo, hi);
}

std::string numbers(const json& array) {
  std::string list;
  for (const json& entry : array) {
    list += (list.empty() ? "" : " ") +
            (entry.is_number_integer() ? format("%lld", entry.get<long long>()) : format("%.3f", entry.get<double>()));
  }
  return list;
}

std::string one_line(const std::string& text, size_t most) {
  std::string line = terminal_line(clipped(text, most));
  std::replace(line.begin(), line.end(), '|', '/');
  return line;
}

// "[3, 4]", or a dash.
std::string parents_of(const json& entry) {
  return entry.contains("parents") ? "from " + numbers(entry["parents"]) : text(entry, "origin");
}

std::string table_row(const json& entry) {
  const std::string layers = entry.contains("mass_per_layer") ? numbers(entry["mass_per_layer"]) : "-";
  const std::string mass = entry.contains("mass_recall") ? format("%.3f", number(entry, "mass_recall")) : "-";
  const std::string pages = entry.contains("cost") ? format("%.0f of %.0f", number(entry["cost"], "selected_pages"),
                                                            number(entry["cost"], "pages"))
                                                   : "-";
  return "| " + format("%lld", entry["candidate"].get<long long>()) + " | " + interval(entry, "accuracy") + " | " +
         interval(entry, "speed") + " | " + pages + " | " + mass + " | " + layers + " | " + parents_of(entry) + ": " +
         one_line(text(entry, "rationale"), 160) + " |\n";
}

constexpr const char* kTableHead =
    "| candidate | accuracy | speed | pages attended | mass recall | mass by layer | made |\n"
    "|---|---|---|---|---|---|---|\n";

// A source as it is shown in a prompt: long lines and long texts are cut, since every byte of it is paid for.
std::string shown_source(const std::string& source) {
  std::string shown;
  for (const std::string& line : split_lines(source)) {
    if (shown.size() > kMaxSource) {
      return shown + "... and so on: " + std::to_string(source.size()) + " bytes in all\n";
    }
    shown += clipped(line, kMaxLine) + "\n";
  }
  return shown;
}

std::string sources(const json& entry) {
  return markdown_code("python", shown_source(text(entry, "module"))) + "\n" +
         markdown_code("json", shown_source(text(entry, "config")));
}

// Where a step's bytes go, by the limit model.
std::string cost_line(const json& cost) {
  const double total = number(cost, "policy_bytes");
  if (total <= 0) { return {}; }
  const auto share = [&](const char* key) { return 100 * number(cost, key) / total; };
  const double special = number(cost, "page_special");
  const std::string computed =
      special < 1
          ? std::string()
          : format(
                "A scored page takes %.0f exponentials and reciprocals beside %.0f bytes that it reads; on a GPU "
                "one takes as long as a byte, or longer.\n",
                special, number(cost, "page_read_bytes"));
  return format(
             "A step reads %.0f %% of dense attention's bytes: %.0f %% of that in layers that stay dense, %.0f %% for "
             "chosen "
             "pages, %.0f %% for page summaries, %.0f %% for state.\n",
             100 * total / std::max(1.0, number(cost, "dense_bytes")), share("dense_layer_bytes"),
             share("selected_bytes"), share("summary_bytes"), share("state_bytes")) +
         computed;
}

// Which layers miss most of the softmax mass.
std::string loss_line(const json& entry) {
  const auto found = entry.find("mass_per_layer");
  if (found == entry.end() || found->empty()) { return {}; }
  size_t worst = 0;
  for (size_t i = 1; i < found->size(); ++i) {
    if ((*found)[i] < (*found)[worst]) { worst = i; }
  }
  return format("Most mass is lost in layer %zu: its pages hold %.3f of dense attention's softmax mass.", worst,
                (*found)[worst].get<double>()) +
         format(" Next-token agreement with dense %.3f, KL %.4f nats.\n", number(entry, "next_token_agreement"),
                number(entry, "kl"));
}

// What forced right answers say, and how far the oracle's pages get at the same budget.
std::string answer_line(const json& entry) {
  if (!entry.contains("answer_kl")) { return {}; }
  std::string line = format(
      "On the tokens of the right answer: KL %.4f nats from dense attention, log likelihood %.3f a "
      "token. This tells good policies from bad ones better than mass does.",
      number(entry, "answer_kl"), number(entry, "answer_log_likelihood"));
  if (entry.contains("oracle_accuracy")) {
    line += format(
        " Ceiling: with the pages of the largest true attention at the same budget, accuracy is %.3f and this KL "
        "%.4f. Far below the ceiling, the score is what lacks, not the budget.",
        number(entry, "oracle_accuracy"), number(entry, "oracle_answer_kl"));
  }
  return line + "\n";
}

}  // namespace

std::string task_section(const json& facts) {
  const json& task = facts["task"];
  const std::string kind = text(task, "kind");
  std::string section = "Task `" + kind + "`";
  if (kind == "chain") {
    section += format(
        ": the prompt holds %.0f definitions in random order, `v d0 d1 u ;` (v = u + d0 + 10 d1) or `v d0 d1 # ;` (a "
        "literal), then asks for one variable. The model copies the %.0f definitions of its chain down to a literal, "
        "then adds up the way back, then states the answer; only the answer counts. Each step of the first half must "
        "fetch one definition (5 tokens) from anywhere in the prompt by its exact name; each step of the second half "
        "looks a few tokens back into what was just written. One missed definition loses the problem.",
        number(task, "definitions"), number(task, "chain"));
  } else {
    section += ": " + task.dump(-1, ' ', false, json::error_handler_t::replace) + ".";
  }
  section +=
      format("\n\nContext: up to %.0f tokens. Every candidate answers the same %.0f problems, %.0f time(s) each. ",
             number(facts["model"], "context"), number(task, "problems"), number(task, "trials"));
  section += format("One that is worse than dense attention by more than %.2f, beyond doubt, is dropped on the way.\n",
                    number(task, "race_margin"));
  return section;
}

std::string geometry_section(const json& facts) {
  const json& model = facts["model"];
  std::string section =
      format("%.0f layers, %.0f query heads, %.0f kv heads (%.0f query heads share one), head size %.0f.",
             number(model, "layers"), number(model, "query_heads"), number(model, "kv_heads"),
             number(model, "query_heads") / std::max(1.0, number(model, "kv_heads")), number(model, "head_dim"));
  if (number(model, "kv_lora_rank") > 0) {
    section += format(" Latent attention (MLA): rank %.0f, rope part %.0f.", number(model, "kv_lora_rank"),
                      number(model, "rope_dim"));
  }
  section += " Pages are chosen for every kv head by itself.";
  if (const double tokens = number(model, "token_budget"); tokens > 0) {
    section += format(" No policy may choose more than %.0f tokens for one (%.0f pages of 16), reserved pages aside.",
                      tokens, tokens / 16);
  }
  return section + "\n";
}

std::string limit_section(const json& facts) {
  const json& model = facts["model"];
  const double layers = number(model, "layers");
  std::string section =
      "A decode step is as fast as memory lets it read. A dense layer reads K and V of every page. A sparse layer "
      "reads "
      "the fields that the indexer uses of every middle page (a `[1, head_dim]` bf16 field costs 1/32 of a page's K "
      "and V "
      "at block size 16), then K and V of the chosen pages. Arithmetic is nearly free beside that.\n";
  section += format(
      "Context %.0f tokens = %.0f pages of 16. With one layer dense the gain is at most %.1fx, whatever the others do; "
      "with none dense it is the pages over the pages read, summaries included.\n",
      number(model, "context"), number(model, "context") / 16, layers);
  section += text(facts, "speed") == "modelled"
                 ? "Here `speed` is this model's ratio of bytes (exact, no interval).\n"
                 : "Here `speed` is measured: tokens per second over dense attention's, in turns in one process.\n";
  return section;
}

std::string front_section(const json& facts) {
  std::string section = kTableHead;
  if (facts.contains("dense")) {
    const json& dense = facts["dense"];
    section += "| " + format("%lld", dense["candidate"].get<long long>()) + " | " + interval(dense, "accuracy") +
               " | 1.000 | all | 1.000 | - | dense attention |\n";
  }
  for (const json& entry : facts["front"]) { section += table_row(entry); }
  return section + "\nIntervals are 95 %. Comparisons are paired: the same problems for all.\n";
}

std::string parents_section(const json& facts) {
  std::string section;
  size_t shown = 0;
  for (const json& entry : facts["front"]) {
    if (shown++ == kShownParents) { break; }
    section += format("### Candidate %lld (on the front with probability %.2f)\n\n",
                      entry["candidate"].get<long long>(), number(entry, "probability"));
    section += loss_line(entry) + answer_line(entry) + cost_line(entry["cost"]) + "\n" + sources(entry) + "\n";
  }
  if (!section.empty()) { return section; }
  // Nothing but dense attention is on the front: what was measured is what there is to learn from.
  for (const json& entry : facts["others"]) {
    if (shown++ == 2) { break; }
    section += format("### Candidate %lld (not on the front)\n\n", entry["candidate"].get<long long>());
    section += loss_line(entry) + "\n" + sources(entry) + "\n";
  }
  if (!section.empty()) { return section; }
  section = "None yet: dense attention stands alone. These seeds are evaluated beside your policies:\n\n";
  for (const json& seed : facts["seeds"]) { section += "### " + text(seed, "name") + "\n\n" + sources(seed) + "\n"; }
  return section;
}

std::string others_section(const json& facts) {
  if (facts["others"].empty()) { return "Nothing.\n"; }
  std::string section = kTableHead;
  for (const json& entry : facts["others"]) { section += table_row(entry); }
  return section;
}

std::string failures_section(const json& facts) {
  std::string section;
  for (const json& entry : facts["failures"]) {
    section += format("- candidate %lld, ", entry["candidate"].get<long long>()) + text(entry, "stage") + ": " +
               one_line(text(entry, "message"), 400) + "\n";
  }
  return section.empty() ? "Nothing.\n" : section;
}

std::string refused_section(const json& refused) { return sources(refused); }

std::string diagnostics_section(const json& refused) {
  const std::string diagnostics = text(refused, "diagnostics");
  std::string section = text(refused, "stage") + ": " + one_line(text(refused, "message"), 700) + "\n";
  if (!diagnostics.empty()) { section += "\n" + markdown_code("", diagnostics); }
  return section;
}

}  // namespace vortex::agent
