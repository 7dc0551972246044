#include "recipe/stage.h"

#include "base/error.h"
#include "base/text_util.h"

namespace r1 {
namespace {

constexpr StageKind kStages[] = {
    {"pretrain", make_supervised_stage},
    {"sft", make_supervised_stage},
    {"grpo", make_grpo_stage},
    {"eval", make_eval_stage},
};

}  // namespace

std::span<const StageKind> stage_table() {
  return kStages;
}

std::vector<std::string> stage_kinds() {
  std::vector<std::string> kinds;
  for (const StageKind& row : kStages) kinds.emplace_back(row.kind);
  return kinds;
}

std::unique_ptr<Stage> make_stage(std::string_view kind) {
  for (const StageKind& row : kStages) {
    if (kind == row.kind) return row.make();
  }
  throw InputError("kind = " + in_quotes(kind) + " is no kind of stage" +
                   did_you_mean(kind, stage_kinds()));
}

std::vector<StageInput> Stage::inputs() const {
  if (head().model.empty()) return {};
  return {{"model", head().model, StageOutput::kModel}};
}

}  // namespace r1
