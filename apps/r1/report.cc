// r1 report: a run's page of plots.
#include "recipe/report.h"

#include <cstdio>

#include "session.h"

namespace r1 {

void add_report(CLI::App& app) {
  auto run = std::make_shared<std::string>();
  auto common = std::make_shared<CommonOptions>();
  CLI::App* c = app.add_subcommand("report", "write a run's report.html and print its path");
  c->add_option("RUN", *run, "the run's folder")->required();
  common->add_to(*c);
  c->callback([run, common] {
    const std::string path = write_report(*run).string();
    const std::string json = OrderedJson{{"report", path}}.dump();
    std::printf("%s\n", common->json ? json.c_str() : path.c_str());
  });
}

}  // namespace r1
