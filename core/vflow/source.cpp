#include "core/vflow/source.h"

#include <algorithm>
#include <utility>

#include "base/text.h"

namespace vortex::vflow {
namespace {

constexpr int kMaxFindings = 40;
// What is quoted of a line, in bytes, and how much of that stands before the place.
constexpr size_t kMaxQuoted = 160;
constexpr size_t kMaxBefore = 60;
// What is said of a place, in bytes. Lists of what is allowed are the longest of our own texts.
constexpr size_t kMaxMessage = 600;
constexpr size_t kMaxAllowed = 2000;
constexpr size_t kMaxSuggestion = 600;
constexpr std::string_view kDots = "...";

// Code points in a piece of UTF-8; stray bytes count as one each.
int characters(std::string_view bytes) {
  return static_cast<int>(std::count_if(bytes.begin(), bytes.end(),
                                        [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U; }));
}

bool begins_character(char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U; }

// Quotes the line around the place, which begins at byte `at` of it.
void quote_line(std::string_view line, size_t at, Diagnostic& diagnostic) {
  diagnostic.source_line = line;
  if (line.size() <= kMaxQuoted) { return; }
  size_t begin = at > kMaxBefore ? at - kMaxBefore : 0;
  begin = std::min(begin, line.size() - kMaxQuoted);
  size_t end = begin + kMaxQuoted;
  while (begin < at && !begins_character(line[begin])) { ++begin; }
  while (end > at && end < line.size() && !begins_character(line[end])) { --end; }
  const std::string_view before = begin > 0 ? kDots : "";
  diagnostic.source_line =
      std::string(before) + std::string(line.substr(begin, end - begin)) + std::string(end < line.size() ? kDots : "");
  diagnostic.caret = static_cast<int>(before.size()) + characters(line.substr(begin, at - begin)) + 1;
  diagnostic.length = std::min(diagnostic.length, std::max(1, characters(line.substr(at, end - at))));
}

}  // namespace

Source::Source(std::string_view file, std::string_view text) : file_(file), text_(text), line_starts_{0} {
  for (size_t i = text.find('\n'); i != std::string_view::npos; i = text.find('\n', i + 1)) {
    line_starts_.push_back(static_cast<uint32_t>(i + 1));
  }
}

SourcePos Source::position(uint32_t offset) const {
  const auto next = std::upper_bound(line_starts_.begin(), line_starts_.end(), offset);
  const uint32_t start = *(next - 1);
  return {static_cast<int>(next - line_starts_.begin()), characters(text_.substr(start, offset - start)) + 1};
}

std::string_view Source::line(int number) const {
  const size_t index = static_cast<size_t>(number - 1);
  const size_t start = line_starts_[index];
  const size_t end = index + 1 < line_starts_.size() ? line_starts_[index + 1] - 1 : text_.size();
  std::string_view text = text_.substr(start, end - start);
  if (text.ends_with('\r')) { text.remove_suffix(1); }
  return text;
}

void Reporter::add(Severity severity, Span span, Finding finding) {
  if (severity == Severity::kError) { ++errors_; }
  // What a loop reports over and over costs nothing: finding the place reads the line up to it.
  if (kept_ >= kMaxFindings || places_.contains({span.begin, severity})) { return; }
  places_.insert({span.begin, severity});
  const SourcePos pos = source_.position(span.begin);
  for (const Diagnostic& known : diagnostics_) {
    if (known.file == source_.file() && known.line == pos.line && known.column == pos.column &&
        known.severity == severity) {
      return;
    }
  }
  ++kept_;
  Diagnostic diagnostic;
  diagnostic.severity = severity;
  diagnostic.code = std::move(finding.code);
  diagnostic.file = source_.file();
  diagnostic.line = pos.line;
  diagnostic.column = pos.column;
  // A finding that spans lines is underlined to the end of its first one.
  const std::string_view first_line = source_.at(span).substr(0, source_.at(span).find('\n'));
  diagnostic.length = std::max(1, characters(first_line));
  const std::string_view line = source_.line(pos.line);
  const auto start = static_cast<size_t>(line.data() - source_.text().data());
  quote_line(line, std::min(span.begin - start, line.size()), diagnostic);
  diagnostic.message = clipped_middle(finding.message, kMaxMessage);
  diagnostic.allowed = clipped(finding.allowed, kMaxAllowed);
  diagnostic.suggestion = clipped_middle(finding.suggestion, kMaxSuggestion);
  diagnostics_.push_back(std::move(diagnostic));
}

}  // namespace vortex::vflow
