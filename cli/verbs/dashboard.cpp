#include <chrono>
#include <iostream>
#include <memory>
#include <thread>

#include "cli/interrupt.h"
#include "cli/verbs/verbs.h"
#include "httpd/guard.h"
#include "web/server/server.h"

namespace vortex::cli {
namespace {

struct DashboardArguments {
  std::string address = "127.0.0.1";
  int port = 7077;
  bool actions = false;
};

// Serves until the user ends it.
Result<int> dashboard(const Context& context, const DashboardArguments& arguments) {
  web::ServerOptions options;
  options.workspace = context.workspace;
  options.address = arguments.address;
  options.port = static_cast<uint16_t>(arguments.port);
  options.actions = arguments.actions || httpd::is_loopback(arguments.address);
  options.vortex = command_line(context, "{}");
  VORTEX_ASSIGN(const std::unique_ptr<web::Server> server, web::Server::start(std::move(options)));
  catch_interrupts();
  if (context.format() != Format::kText) {
    print_record(context.format(), "dashboard", {{"url", server->url()}, {"port", server->port()}});
    std::cout.flush();
  } else {
    std::cout << server->url() << std::endl;
    log_line("the dashboard of " + context.workspace + "; Ctrl-C ends it, a running search goes on");
  }
  while (interrupts() == 0) { std::this_thread::sleep_for(std::chrono::milliseconds(100)); }
  return 0;
}

}  // namespace

void add_dashboard(CLI::App& app, Context& context) {
  const auto arguments = std::make_shared<DashboardArguments>();
  CLI::App* verb = add_verb(app, context, "dashboard", "serves the workspace as a page: watch the front move, and act",
                            [&context, arguments] { return dashboard(context, *arguments); });
  verb->add_option("--port", arguments->port, "to listen on; 0: any that is free")->check(CLI::Range(0, 65535));
  verb->add_option("--address", arguments->address, "to listen on; beyond this machine everything needs the token");
  verb->add_flag("--actions", arguments->actions, "allow actions beyond this machine, too");
  add_workspace_option(verb, context);
  add_format_option(verb, context);
}

}  // namespace vortex::cli
