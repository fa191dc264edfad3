#include <iostream>
#include <memory>

#include "cli/verbs/verbs.h"
#include "db/check.h"
#include "db/lock.h"
#include "db/reading.h"

namespace vortex::cli {
namespace {

struct DatabaseArguments {
  std::string what;
  std::string to;
};

std::string mebibytes(int64_t bytes) { return fixed(static_cast<double>(bytes) / (1 << 20), 1) + " MiB"; }

Result<int> check(const Context& context) {
  VORTEX_ASSIGN(const db::CheckReport report, db::check_workspace(context.workspace));
  const bool whole = report.faults.empty();
  if (context.format() == Format::kText) {
    for (const std::string& fault : report.faults) { std::cout << fault << "\n"; }
    std::cout << (whole ? "all is well: " : "damaged: ") << report.rows << " rows in " << mebibytes(report.bytes)
              << ", " << report.objects << " objects";
    if (report.unused_objects > 0) { std::cout << " and " << report.unused_objects << " files that no row names"; }
    std::cout << "\n";
  } else {
    print_record(context.format(), "check",
                 {{"whole", whole},
                  {"faults", report.faults},
                  {"rows", report.rows},
                  {"bytes", report.bytes},
                  {"objects", report.objects},
                  {"unused_objects", report.unused_objects}});
  }
  return whole ? 0 : exit_code(Blame::kEnvironment);
}

Result<int> back_up(const Context& context, const std::string& to) {
  if (to.empty()) { return candidate_error("where to?", "vortex db backup FOLDER"); }
  VORTEX_ASSIGN(const db::BackupReport report, db::back_up(context.workspace, to));
  if (context.format() == Format::kText) {
    std::cout << "copied " << mebibytes(report.bytes) << " and " << report.objects << " objects to " << to
              << ", a workspace of its own\n";
  } else {
    print_record(context.format(), "backup", {{"to", to}, {"bytes", report.bytes}, {"objects", report.objects}});
  }
  return 0;
}

Result<int> vacuum(const Context& context) {
  VORTEX_ASSIGN(const db::WorkspaceLock lock, db::WorkspaceLock::acquire(context.workspace));
  VORTEX_ASSIGN(const db::VacuumReport report, db::vacuum(context.workspace));
  if (context.format() == Format::kText) {
    std::cout << mebibytes(report.bytes_before) << " became " << mebibytes(report.bytes_after) << "; "
              << report.objects_removed << " files that no row names are gone\n";
  } else {
    print_record(context.format(), "vacuum",
                 {{"bytes_before", report.bytes_before},
                  {"bytes_after", report.bytes_after},
                  {"objects_removed", report.objects_removed}});
  }
  return 0;
}

Result<int> migrate(const Context& context) {
  VORTEX_ASSIGN(const db::WorkspaceLock lock, db::WorkspaceLock::acquire(context.workspace));
  VORTEX_ASSIGN(const db::MigrationReport report, db::migrate_workspace(context.workspace));
  if (context.format() != Format::kText) {
    print_record(context.format(), "migration",
                 {{"from", report.from}, {"to", report.to}, {"kept", report.kept.string()}});
  } else if (report.from == report.to) {
    std::cout << "nothing to do: the database has schema " << report.to << "\n";
  } else {
    std::cout << "schema " << report.from << " became " << report.to << "; the database as it was is kept in "
              << report.kept.string() << "\n";
  }
  return 0;
}

Result<int> database(const Context& context, const DatabaseArguments& arguments) {
  VORTEX_TRY(db::check_workspace_there(context.workspace));
  if (arguments.what == "check") { return check(context); }
  if (arguments.what == "backup") { return back_up(context, arguments.to); }
  if (arguments.what == "migrate") { return migrate(context); }
  return vacuum(context);
}

}  // namespace

void add_database(CLI::App& app, Context& context) {
  const auto arguments = std::make_shared<DatabaseArguments>();
  CLI::App* verb = add_verb(app, context, "db", "checks, backs up, tidies or migrates what a workspace keeps",
                            [&context, arguments] { return database(context, *arguments); });
  verb->add_option(
          "what", arguments->what,
          "check (is it whole?), backup (also while a search runs), vacuum, or migrate (what an older vortex wrote)")
      ->required()
      ->check(CLI::IsMember({"check", "backup", "vacuum", "migrate"}));
  verb->add_option("to", arguments->to, "backup: the new folder");
  add_workspace_option(verb, context);
  add_format_option(verb, context);
}

}  // namespace vortex::cli
