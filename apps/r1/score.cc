// r1 score: log-probabilities of given texts.
#include <optional>

#include "base/error.h"
#include "base/files.h"
#include "console.h"
#include "model/scorer.h"
#include "rows.h"
#include "session.h"

namespace r1 {
namespace {

struct Options {
  CommonOptions common;
  WeightOptions weights;
  RowOptions rows;
  std::string model, full;
};

void score(const Options& o) {
  Machine machine(o.common);
  const OpenModel model = open_model(o.model, o.weights, machine.ops());
  Scorer scorer(model.model, machine.ops());
  std::optional<AtomicFile> full;
  if (!o.full.empty()) full.emplace(o.full);
  edit_rows(o.rows, [&](OrderedJson& row, const std::string& where) {
    const auto ids = row.contains("ids")
                         ? ids_field(row, "ids", model.model.config().vocab_size, where)
                         : model.tokenizer.encode(text_field(row, "text", where));
    if (static_cast<int64_t>(ids.size()) > model.model.max_positions()) {
      throw InputError(where + ": " + std::to_string(ids.size()) + " tokens; the model takes " +
                       std::to_string(model.model.max_positions()));
    }
    std::function<void(ConstTensor)> keep;
    if (full) {
      keep = [&](ConstTensor block) {
        for (int64_t r = 0; r < block.rows; ++r) {
          full->write(std::as_bytes(std::span(block.row(r), static_cast<size_t>(block.cols))));
        }
      };
    }
    row["logprobs"] = scorer.score(ids, {}, keep);
  });
  if (full) full->commit();
}

}  // namespace

void add_score(CLI::App& app) {
  auto o = std::make_shared<Options>();
  CLI::App* c = app.add_subcommand("score", "add logprobs to rows with ids or text");
  c->footer(
      "One log-probability (natural) for each token after the first. --full FILE also writes,\n"
      "for each of these positions in order, the whole vocabulary's as float32, little-endian.");
  c->add_option("MODEL", o->model, kModelHelp);
  o->rows.add_to(*c);
  c->add_option("--full", o->full, "file for the whole vocabulary's log-probabilities");
  o->weights.add_to(*c);
  o->common.add_to(*c);
  c->callback([o] { score(*o); });
}

}  // namespace r1
