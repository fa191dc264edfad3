#include "cli/show/live_screen.h"

#include <algorithm>

#include "base/text.h"
#include "cli/context.h"
#include "cli/output.h"

namespace vortex::cli {
namespace {

using nlohmann::json;
using Style = ScreenLine::Style;

evals::Interval interval_of(const json& value) {
  if (!value.is_object()) { return {}; }
  return {value.value("value", 0.0), value.value("lo", 0.0), value.value("hi", 0.0)};
}

std::string padded(std::string text, size_t columns) {
  const size_t width = text_width(text);
  return width < columns ? text + std::string(columns - width, ' ') : text;
}

// The shapes of the dashboard's plot.
std::string shape_of(const std::string& keeps, bool utf8) {
  if (keeps == "dense") { return utf8 ? "■" : "="; }
  if (keeps == "kept") { return utf8 ? "●" : "*"; }
  return keeps == "lost" ? (utf8 ? "▼" : "v") : (utf8 ? "◆" : "?");
}

std::string bar(double share, size_t columns, bool utf8) {
  const auto full = static_cast<size_t>(std::clamp(share, 0.0, 1.0) * static_cast<double>(columns) + 0.5);
  std::string text;
  for (size_t i = 0; i < columns; ++i) { text += i < full ? (utf8 ? "█" : "#") : (utf8 ? "░" : "-"); }
  return text;
}

std::string amount_text(const std::string& what, double value) {
  if (what == "dollars") { return "$" + fixed(value, 2); }
  if (what == "gpu_seconds") { return duration_text(value) + " of GPU"; }
  return format_number(value) + (what == "tokens" ? " tokens" : " evaluations");
}

// Time, money and whatever else has a limit.
ScreenLine budget_line(const ScreenFacts& facts, ScreenSize size, bool utf8) {
  std::string text;
  if (facts.seconds_limit > 0) {
    text = duration_text(std::max(0.0, facts.seconds_limit - facts.seconds_used)) + " left of " +
           duration_text(facts.seconds_limit);
    if (size.columns >= 60) { text += "  " + bar(facts.seconds_used / facts.seconds_limit, 20, utf8); }
  } else {
    text = duration_text(facts.seconds_used);
  }
  for (const json& spent : facts.spent) {
    const std::string what = spent.value("what", "");
    const double used = spent.value("used", 0.0);
    const double limit = spent.value("limit", 0.0);
    if (what == "seconds" || (limit <= 0 && (used <= 0 || what != "dollars"))) { continue; }
    text += "  " + (limit > 0 ? amount_text(what, std::max(0.0, limit - used)) + " left of " + amount_text(what, limit)
                              : amount_text(what, used));
  }
  return {text, Style::kStrong};
}

ScreenLine headline(const ScreenFacts& facts) {
  if (facts.best.is_object()) {
    return {"candidate " + std::to_string(facts.best.value("candidate", int64_t{0})) + " decodes " +
                interval_text(interval_of(facts.best["speed"]), 2) +
                "x as fast as dense attention and keeps its accuracy",
            Style::kStrong};
  }
  return {"nothing is claimed yet: held-out problems have shown no policy to keep dense attention's accuracy",
          Style::kQuiet};
}

std::string member_text(const json& member, ScreenSize size, bool utf8) {
  const std::string keeps = member.value("keeps", "");
  const evals::Interval speed = interval_of(member["speed"]);
  const evals::Interval accuracy = interval_of(member["accuracy"]);
  const std::string name =
      keeps == "dense" ? std::string("dense") : "#" + std::to_string(member.value("candidate", int64_t{0}));
  std::string text = shape_of(keeps, utf8) + " " + padded(name, 6);
  if (size.columns < 60) { return text + " " + fixed(speed.value, 2) + "x  " + fixed(accuracy.value, 2); }
  text += " " + padded(keeps == "dense" ? "" : keeps, 9) + "  " + padded(interval_text(speed, 2), 18) + "  " +
          padded(interval_text(accuracy, 3), 20);
  return size.columns < 90 || keeps == "dense" ? text : text + "  " + member.value("made_by", "");
}

// Fastest first, as many as there is room for.
std::vector<ScreenLine> front_lines(const ScreenFacts& facts, ScreenSize size, size_t room, bool utf8) {
  std::vector<ScreenLine> lines;
  if (facts.front.empty()) { return {{"front    nothing has passed every stage yet", Style::kQuiet}}; }
  const bool titled = size.columns >= 60 && room > 2;
  if (titled) {
    lines.push_back({"  front              " + padded("speed over dense", 18) + "  accuracy", Style::kQuiet});
  }
  std::vector<json> members(facts.front.begin(), facts.front.end());
  std::stable_sort(members.begin(), members.end(), [](const json& a, const json& b) {
    return interval_of(a["speed"]).value > interval_of(b["speed"]).value;
  });
  const size_t free = room - (titled ? 1 : 0);
  const bool all = members.size() <= free;
  const size_t shown = all ? members.size() : std::max<size_t>(1, free - 1);
  for (size_t i = 0; i < shown; ++i) { lines.push_back({member_text(members[i], size, utf8)}); }
  if (!all && lines.size() < room) {
    lines.push_back({"  and " + std::to_string(members.size() - shown) + " slower ones", Style::kQuiet});
  }
  return lines;
}

// How many got how far.
std::string funnel_text(const ScreenFacts& facts, bool utf8) {
  std::string text = "passed   proposed " + std::to_string(facts.counts.value("candidates", 0));
  for (const json& stage : facts.funnel) {
    text +=
        (utf8 ? " › " : " > ") + stage.value("stage", "") + " " + std::to_string(stage["verdicts"].value("pass", 0));
  }
  return text;
}

std::string now_text(const ScreenFacts& facts) {
  if (facts.running.empty()) { return "now      choosing what to try next"; }
  std::string text = "now     ";
  for (const RunningNow& one : facts.running) {
    text += " #" + std::to_string(one.candidate) + " at " + one.stage + " for " + duration_text(one.seconds) + " ";
  }
  return text;
}

ScreenLine stop_line(agent::StopLevel stop) {
  switch (stop) {
    case agent::StopLevel::kNone:
      return {"Ctrl-C: finish what runs, then stop", Style::kQuiet};
    case agent::StopLevel::kDrain:
      return {"stopping: finishing what runs; Ctrl-C again stops now", Style::kWarning};
    case agent::StopLevel::kKill:
      break;
  }
  return {"stopping now", Style::kWarning};
}

}  // namespace

std::string shown_text(std::string_view text, size_t columns) {
  std::string out;
  size_t width = 0;
  for (size_t i = 0; i < text.size() && width <= columns; ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    const bool goes_on = (byte & 0xc0) == 0x80;
    if (!goes_on && width++ == columns) { break; }
    // C1 controls are two bytes: 0xc2 and 0x80 to 0x9f.
    const bool control =
        byte == 0xc2 && i + 1 < text.size() && (static_cast<unsigned char>(text[i + 1]) & 0xe0) == 0x80;
    if (byte >= 0x20 && byte != 0x7f && !control) {
      out += text[i];
    } else {
      out += '?';
      i += control ? 1 : 0;
    }
  }
  return out;
}

std::vector<ScreenLine> screen_lines(const ScreenFacts& facts, ScreenSize size, bool utf8) {
  size.columns = std::max<size_t>(size.columns, 2);
  const size_t most = std::max<size_t>(size.rows, 4) - 1;
  std::vector<ScreenLine> above;
  std::vector<ScreenLine> below = {{now_text(facts)}, stop_line(facts.stop)};
  if (most >= 8) {
    std::string rule = std::string(utf8 ? "──" : "--") + " search " + facts.name + " ";
    while (text_width(rule) + 1 < size.columns) { rule += utf8 ? "─" : "-"; }
    above.push_back({std::move(rule), Style::kQuiet});
  }
  above.push_back(budget_line(facts, size, utf8));
  if (most >= 7) { above.push_back(headline(facts)); }
  if (most >= 6) { below.insert(below.begin(), {funnel_text(facts, utf8)}); }
  std::vector<ScreenLine> lines = above;
  if (most > above.size() + below.size()) {
    for (ScreenLine& line : front_lines(facts, size, most - above.size() - below.size(), utf8)) {
      lines.push_back(std::move(line));
    }
  }
  lines.insert(lines.end(), below.begin(), below.end());
  for (ScreenLine& line : lines) { line.text = shown_text(line.text, size.columns - 1); }
  return lines;
}

}  // namespace vortex::cli
