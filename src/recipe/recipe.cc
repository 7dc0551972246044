#include "recipe/recipe.h"

#include <set>
#include <sstream>

#include "base/error.h"
#include "base/text_util.h"

namespace r1 {
namespace {

constexpr const char* kStages = "stage";

StageConfig read_stage(const TomlDocument& document, size_t index) {
  const std::string path = std::string(kStages) + "." + std::to_string(index);
  const Json& table = document.values.at(kStages).at(index);
  const std::string where = document.location(path);
  const std::vector<std::string> kinds = {"pretrain", "sft", "grpo", "eval"};
  const auto kind = table.find("kind");
  if (kind == table.end() || !kind->is_string()) {
    throw InputError(where +
                     ": each [[stage]] needs kind = \"pretrain\", \"sft\", \"grpo\" or \"eval\"");
  }
  auto read = [&](auto config) {
    read_config(document, config, path);
    if (config.name.empty()) config.name = config.kind;
    return StageConfig(std::move(config));
  };
  if (*kind == "grpo") return read(GrpoStage{});
  if (*kind == "eval") return read(EvalStage{});
  if (*kind == "pretrain" || *kind == "sft") return read(SupervisedStage{});
  throw InputError(where + ": kind = " + kind->dump() + " is no kind of stage" +
                   did_you_mean(kind->get<std::string>(), kinds));
}

// "grpo.learning_rate=1e-4" goes to the stage of that name, everything else to the recipe.
void apply_override(const std::string& assignment, Recipe& recipe) {
  const size_t dot = assignment.find('.'), equals = assignment.find('=');
  if (dot != std::string::npos && dot < equals) {
    const std::string head = assignment.substr(0, dot);
    for (StageConfig& stage : recipe.stages) {
      if (stage_name(stage) != head) continue;
      std::visit([&](auto& config) { set_config(assignment.substr(dot + 1), config); }, stage);
      return;
    }
    if (head != "new_model") {
      std::string names;
      for (const StageConfig& stage : recipe.stages) {
        names += (names.empty() ? "" : ", ") + stage_name(stage);
      }
      throw InputError("--set " + assignment + ": the recipe has no stage '" + head + "' (it has " +
                       names + ")");
    }
  }
  set_config(assignment, recipe);
}

}  // namespace

const std::string& stage_name(const StageConfig& stage) {
  return std::visit([](const auto& config) -> const std::string& { return config.name; }, stage);
}

Recipe parse_recipe(const TomlDocument& document, const std::vector<std::string>& overrides) {
  Recipe recipe;
  TomlDocument root = document;
  root.values.erase(kStages);
  read_config(root, recipe);
  const auto stages = document.values.find(kStages);
  if (stages == document.values.end() || !stages->is_array() || stages->empty()) {
    throw InputError(document.where + ": a recipe needs at least one [[stage]] table");
  }
  for (size_t i = 0; i < stages->size(); ++i) recipe.stages.push_back(read_stage(document, i));
  for (const std::string& assignment : overrides) apply_override(assignment, recipe);
  std::set<std::string> names;
  for (const StageConfig& stage : recipe.stages) {
    if (!names.insert(stage_name(stage)).second) {
      throw InputError(document.where + ": two stages are called '" + stage_name(stage) +
                       "': give one of them a name = \"...\" of its own");
    }
  }
  return recipe;
}

Recipe read_recipe(const std::filesystem::path& file, const std::vector<std::string>& overrides) {
  return parse_recipe(read_toml_file(file), overrides);
}

std::string recipe_toml(const Recipe& recipe) {
  std::string text = config_toml(recipe);
  for (const StageConfig& stage : recipe.stages) {
    text += "\n[[" + std::string(kStages) + "]]\n";
    std::istringstream lines(
        std::visit([](const auto& config) { return config_toml(config); }, stage));
    for (std::string line; std::getline(lines, line);) {
      // A table of the stage, not of the recipe.
      if (line.starts_with("[")) line.insert(1, std::string(kStages) + ".");
      text += line + "\n";
    }
  }
  return text;
}

}  // namespace r1
