#include <unistd.h>

#include <algorithm>
#include <iostream>
#include <memory>
#include <optional>

#include "cli/runs.h"
#include "cli/show/claim_text.h"
#include "cli/show/front_plot.h"
#include "cli/show/front_table.h"
#include "cli/verbs/verbs.h"
#include "study/baseline.h"
#include "study/digest.h"

namespace vortex::cli {
namespace {

constexpr size_t kPlotColumns = 80;  // where nothing says how wide the screen is

struct FrontArguments {
  std::string run;
  std::optional<bool> plot;  // absent: on a terminal
};

// The members before what else passed, so that a shape that means more lies above.
std::string plot_of(const study::Digest& digest, const std::vector<study::FrontRow>& rows) {
  std::vector<PlotPoint> points = plot_points(rows);
  for (const study::Point& point : digest.board.standing().archive().points()) {
    const bool is_row =
        std::any_of(rows.begin(), rows.end(), [&](const auto& row) { return row.id == point.candidate; });
    if (!is_row) { points.push_back({point.speed.ratio.value, point.accuracy.value, PlotPoint::Kind::kOther}); }
  }
  const size_t columns = stdout_columns();
  return front_plot(std::move(points), columns > 0 ? columns : kPlotColumns, locale_is_utf8());
}

Result<int> front(const Context& context, const FrontArguments& arguments) {
  VORTEX_ASSIGN(const study::Digest digest, chosen_digest(context, arguments.run));
  VORTEX_ASSIGN(const study::Shown shown, study::read_shown(digest.view(), study::Undecided::kShown));
  const std::vector<study::FrontRow>& rows = shown.rows;
  if (context.format() == Format::kText) {
    if (!rows.empty()) { print_claim(digest.options, shown.claims); }
    print_table(front_table(rows));
    if (arguments.plot.value_or(::isatty(STDOUT_FILENO) == 1)) { std::cout << "\n" << plot_of(digest, rows); }
    const std::string warning = study::baseline_warning(shown.few, digest.options);
    if (!warning.empty()) { log_line(warning); }
    if (rows.empty()) { log_line("no candidate of " + digest.run.name + " has passed every stage yet"); }
    return 0;
  }
  std::vector<nlohmann::json> items;
  for (const study::FrontRow& row : rows) { items.push_back(front_record(row)); }
  if (context.format() == Format::kCsv) {
    print_csv(front_members(), items);
    return 0;
  }
  print_records(context.format(), "front", items);
  return 0;
}

}  // namespace

void add_front(CLI::App& app, Context& context) {
  const auto arguments = std::make_shared<FrontArguments>();
  CLI::App* verb = add_verb(app, context, "front", "the policies that no other beats in both accuracy and speed",
                            [&context, arguments] { return front(context, *arguments); });
  verb->add_option("--run", arguments->run, "the search, by name or number (the newest with a result)");
  verb->add_flag("--plot,!--no-plot", arguments->plot, "accuracy over speed in characters, below (on a terminal)");
  add_workspace_option(verb, context);
  add_format_option(verb, context, true);
}

}  // namespace vortex::cli
