#include "core/vflow/source.h"

#include <algorithm>
#include <utility>

namespace vortex::vflow {
namespace {

constexpr int kMaxFindings = 40;

// Code points in a piece of UTF-8; stray bytes count as one each.
int characters(std::string_view bytes) {
  return static_cast<int>(std::count_if(bytes.begin(), bytes.end(),
                                        [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U; }));
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
  if (kept_ >= kMaxFindings) { return; }
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
  diagnostic.source_line = source_.line(pos.line);
  // A finding that spans lines is underlined to the end of its first one.
  const std::string_view first_line = source_.at(span).substr(0, source_.at(span).find('\n'));
  diagnostic.length = std::max(1, characters(first_line));
  diagnostic.message = std::move(finding.message);
  diagnostic.allowed = std::move(finding.allowed);
  diagnostic.suggestion = std::move(finding.suggestion);
  diagnostics_.push_back(std::move(diagnostic));
}

}  // namespace vortex::vflow
