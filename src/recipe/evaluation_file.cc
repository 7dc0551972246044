#include "recipe/evaluation_file.h"

#include "base/error.h"
#include "base/files.h"

namespace r1 {
namespace {

std::filesystem::path file_of(const std::filesystem::path& path) {
  if (path.extension() == ".jsonl") return path;
  make_folder(path);
  return path / "completions.jsonl";
}

FinishReason finish_reason(const std::string& name) {
  for (const FinishReason r : {FinishReason::kStop, FinishReason::kLength}) {
    if (name == finish_reason_name(r)) return r;
  }
  return FinishReason::kCancelled;
}

GradedCompletion completion_of(const Json& row) {
  GradedCompletion out;
  out.text = row.at("text");
  row.at("ids").get_to(out.completion.ids);
  out.completion.reason = finish_reason(row.at("finish_reason"));
  out.completion.thinking_tokens = row.at("thinking_tokens");
  // Older files do not say `correct`: then a reward of 1 did.
  const double reward = row.at("reward");
  out.verdict = {reward, row.at("reason"), row.at("parsed"), row.value("correct", reward >= 1)};
  out.vote = row.at("vote");
  return out;
}

void check_settings(const Json& before, const OrderedJson& now, const std::string& where) {
  for (const auto& [key, value] : now.items()) {
    const Json was = before.value(key, Json());
    if (was == Json(value)) continue;
    throw InputError(where + ": holds another evaluation, with " + key + " " + was.dump() +
                     " where this one has " + value.dump() + "; choose another --out");
  }
}

}  // namespace

EvaluationFile::EvaluationFile(const std::filesystem::path& path, const OrderedJson& settings)
    : file_(file_of(path)) {
  bool any = false;
  for_each_row(file_.path(), [&](const Json& row, int64_t line) {
    const std::string where = file_.path().string() + ":" + std::to_string(line);
    try {
      if (std::exchange(any, true)) {
        RolloutGroup& group = groups_[{row.at("budget"), row.at("problem")}];
        group.completions.clear();
        for (const Json& c : row.at("completions")) group.completions.push_back(completion_of(c));
      } else {
        check_settings(row.at("evaluation"), settings, where);
      }
    } catch (const Json::exception& e) {
      throw InputError(where + ": no row of an evaluation: " + e.what());
    }
  });
  if (!any) file_.append({{"evaluation", settings}});
}

const RolloutGroup* EvaluationFile::find(int64_t budget, uint64_t problem) const {
  const auto found = groups_.find({budget, problem});
  return found == groups_.end() ? nullptr : &found->second;
}

void EvaluationFile::add(int64_t budget, uint64_t problem, const std::string& prompt,
                         const RolloutGroup& group) {
  OrderedJson completions = OrderedJson::array();
  for (const GradedCompletion& c : group.completions) {
    completions.push_back({{"text", c.text},
                           {"reward", c.verdict.reward},
                           {"correct", c.verdict.correct},
                           {"reason", c.verdict.reason},
                           {"parsed", c.verdict.parsed},
                           {"vote", c.vote},
                           {"finish_reason", finish_reason_name(c.completion.reason)},
                           {"thinking_tokens", c.completion.thinking_tokens},
                           {"ids", c.completion.ids}});
  }
  file_.append({{"budget", budget},
                {"problem", problem},
                {"prompt", prompt},
                {"answer", group.problem.answer},
                {"completions", std::move(completions)}});
}

}  // namespace r1
