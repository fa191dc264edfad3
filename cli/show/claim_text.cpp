#include "cli/show/claim_text.h"

#include <iostream>

#include "base/text.h"
#include "cli/output.h"
#include "study/front.h"

namespace vortex::cli {

std::string margin_text(const study::SearchOptions& options) { return format_number(100 * options.margin) + " points"; }

std::string claim_text(const study::SearchOptions& options, const std::vector<study::Claim>& claims) {
  const study::Claim* claim = study::headline_of(claims);
  if (claim == nullptr) { return study::no_claim_text(claims, options); }
  const bool modelled = options.rank_speed == study::RankSpeed::kModelled;
  return "Candidate " + std::to_string(claim->candidate) + " decodes " + interval_text(claim->speed->ratio, 2) +
         " times as fast as dense attention" + (modelled ? " by the cost model" : "") +
         " and keeps its accuracy within " + margin_text(options) + ".";
}

void print_claim(const study::SearchOptions& options, const std::vector<study::Claim>& claims) {
  const std::string text = claim_text(options, claims);
  const size_t columns = stdout_columns();
  for (const std::string& line : wrapped_lines(text, columns > 0 ? columns : text.size())) {
    std::cout << line << "\n";
  }
  std::cout << "\n";
}

}  // namespace vortex::cli
