// r1: one program, one sub-command a file. Results go to the standard output, everything for
// people to the standard error. Exit code 0; 1: the job failed; 2: bad usage or bad input.
#include <algorithm>
#include <cstdio>
#include <new>

#include "base/error.h"
#include "base/text_util.h"
#include "session.h"

namespace r1 {
namespace {

// CLI11 would only say that a sub-command is required.
void check_command(const CLI::App& app, const std::string& first) {
  if (first.starts_with("-")) return;
  std::vector<std::string> names;
  for (const CLI::App* c : app.get_subcommands({})) names.push_back(c->get_name());
  if (std::find(names.begin(), names.end(), first) != names.end()) return;
  throw InputError("there is no command " + in_quotes(first) + did_you_mean(first, names) +
                   "; see r1 --help");
}

int run(int argc, char** argv) {
  CLI::App app{
      "r1: reasoning models, trained and run. Start with 'r1 demo': it teaches a small model to\n"
      "think, by reinforcement learning alone, in a few minutes."};
  app.name("r1");
  app.set_version_flag("--version", "r1 " R1_VERSION);
  app.require_subcommand(1);
  app.failure_message(CLI::FailureMessage::help);
  add_demo(app);
  add_run(app);
  add_chat(app);
  add_generate(app);
  add_eval(app);
  add_score(app);
  add_verify(app);
  add_tokenize(app);
  add_task(app);
  add_convert(app);
  add_info(app);
  add_report(app);
  add_bench(app);
  if (argc == 1) {
    std::fprintf(stderr, "%s", app.help().c_str());
    return 2;
  }
  try {
    check_command(app, argv[1]);
    app.parse(argc, argv);
    return 0;
  } catch (const CLI::ParseError& e) {
    if (e.get_exit_code() == 0) return app.exit(e);
    const auto used = app.get_subcommands();
    const std::string command = used.empty() ? "r1" : "r1 " + used[0]->get_name();
    std::fprintf(stderr, "%s: %s (see %s --help)\n", command.c_str(), e.what(), command.c_str());
    return 2;
  } catch (const InputError& e) {
    std::fprintf(stderr, "r1: %s\n", e.what());
    return 2;
  } catch (const JobError& e) {
    std::fprintf(stderr, "r1: %s\n", e.what());
    return 1;
  } catch (const std::bad_alloc&) {
    std::fprintf(stderr, "r1: out of memory\n");
    return 1;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "r1: %s\n", e.what());
    return 1;
  }
}

}  // namespace
}  // namespace r1

int main(int argc, char** argv) {
  return r1::run(argc, argv);
}
