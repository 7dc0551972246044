#include "recipe/recipe.h"

#include <algorithm>
#include <set>
#include <sstream>

#include "base/error.h"
#include "base/text_util.h"

namespace r1 {
namespace {

constexpr const char* kStages = "stage";

// "pretrain", "sft" or "eval"
std::string kinds_text() {
  const std::vector<std::string> kinds = stage_kinds();
  std::string text;
  for (size_t i = 0; i < kinds.size(); ++i) {
    text += (i == 0 ? "" : i + 1 == kinds.size() ? " or " : ", ") + in_quotes(kinds[i]);
  }
  return text;
}

std::shared_ptr<Stage> read_stage(const TomlDocument& document, const std::string& path,
                                  const Json& table) {
  const std::string where = document.location(path);
  const auto kind = table.find("kind");
  if (kind == table.end() || !kind->is_string()) {
    throw InputError(where + ": each [[stage]] needs kind = " + kinds_text());
  }
  std::shared_ptr<Stage> stage;
  try {
    stage = make_stage(kind->get<std::string>());
  } catch (const InputError& e) {
    throw InputError(where + ": " + e.what());
  }
  stage->read(document, path);
  return stage;
}

std::string names_of(const Recipe& recipe) {
  std::string names;
  for (const auto& stage : recipe.stages) names += (names.empty() ? "" : ", ") + stage->name();
  return names;
}

// "grpo.learning_rate=1e-4" goes to the stage of that name, everything else to the recipe.
void apply_override(const std::string& assignment, Recipe& recipe) {
  const size_t dot = assignment.find('.'), equals = assignment.find('=');
  if (dot != std::string::npos && dot < equals) {
    const std::string head = assignment.substr(0, dot);
    if (const int64_t i = recipe.find_stage(head); i >= 0) {
      recipe.stages[static_cast<size_t>(i)]->set(assignment.substr(dot + 1));
      return;
    }
    const ConfigFields fields(recipe);
    const auto is_head = [&](const auto& section) { return section.first == head; };
    if (std::ranges::none_of(fields.sections(), is_head)) {
      throw InputError("--set " + assignment + ": the recipe has no stage '" + head + "' (it has " +
                       names_of(recipe) + ")");
    }
  }
  set_config(assignment, recipe);
}

void check_names(const Recipe& recipe, const std::string& where) {
  std::set<std::string> names;
  for (const auto& stage : recipe.stages) {
    if (stage->name() == kStartModel) {
      throw InputError(where + ": no stage may be called '" + kStartModel +
                       "': it stands for the model that the recipe starts from");
    }
    if (!names.insert(stage->name()).second) {
      throw InputError(where + ": two stages are called '" + stage->name() +
                       "': give one of them a name = \"...\" of its own");
    }
  }
}

// What stage `index` reads by name is there when it runs.
void check_inputs(const Recipe& recipe, size_t index, const TomlDocument& document) {
  const std::string path = std::string(kStages) + "." + std::to_string(index);
  std::vector<std::string> earlier;
  for (const StageInput& input : recipe.stages[index]->inputs()) {
    if (input.output == StageOutput::kModel && input.value == kStartModel) continue;
    earlier.clear();
    for (size_t i = 0; i < index; ++i) {
      if (recipe.stages[i]->output() == input.output) earlier.push_back(recipe.stages[i]->name());
    }
    if (std::ranges::find(earlier, input.value) != earlier.end()) continue;
    if (input.or_file && recipe.find_stage(input.value) < 0) continue;
    const char* what = input.output == StageOutput::kModel ? "a model" : "a data set";
    throw InputError(document.location(path + "." + input.key) + ": " + path + "." + input.key +
                     ": no stage before '" + recipe.stages[index]->name() + "' that leaves " +
                     what + " is called " + in_quotes(input.value) +
                     did_you_mean(input.value, earlier));
  }
}

}  // namespace

int64_t Recipe::find_stage(std::string_view stage) const {
  for (size_t i = 0; i < stages.size(); ++i) {
    if (stages[i]->name() == stage) return static_cast<int64_t>(i);
  }
  return -1;
}

int64_t Recipe::model_of(int64_t index) const {
  const std::string& named = stages[static_cast<size_t>(index)]->head().model;
  if (!named.empty()) return named == kStartModel ? -1 : find_stage(named);
  int64_t before = index - 1;
  while (before >= 0 && stages[static_cast<size_t>(before)]->output() != StageOutput::kModel) {
    --before;
  }
  return before;
}

bool Recipe::model_is_named(int64_t index) const {
  if (index < 0) return false;
  for (size_t i = static_cast<size_t>(index) + 1; i < stages.size(); ++i) {
    if (stages[i]->head().model == stages[static_cast<size_t>(index)]->name()) return true;
  }
  return false;
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
  for (size_t i = 0; i < stages->size(); ++i) {
    const std::string path = std::string(kStages) + "." + std::to_string(i);
    recipe.stages.push_back(read_stage(document, path, stages->at(i)));
  }
  for (const std::string& assignment : overrides) apply_override(assignment, recipe);
  check_names(recipe, document.where);
  for (size_t i = 0; i < recipe.stages.size(); ++i) check_inputs(recipe, i, document);
  return recipe;
}

Recipe read_recipe(const std::filesystem::path& file, const std::vector<std::string>& overrides) {
  return parse_recipe(read_toml_file(file), overrides);
}

std::string recipe_toml(const Recipe& recipe) {
  std::string text = config_toml(recipe);
  for (const auto& stage : recipe.stages) {
    text += "\n[[" + std::string(kStages) + "]]\n";
    std::istringstream lines(stage->toml());
    for (std::string line; std::getline(lines, line);) {
      // A table of the stage, not of the recipe.
      if (line.starts_with("[")) line.insert(1, std::string(kStages) + ".");
      text += line + "\n";
    }
  }
  return text;
}

std::string recipe_help() {
  std::string text = config_help(Recipe{});
  const std::span<const StageKind> table = stage_table();
  for (size_t i = 0; i < table.size();) {
    text += "\n# [[stage]] kind = " + in_quotes(table[i].kind);
    const auto make = table[i].make;
    for (++i; i < table.size() && table[i].make == make; ++i) {
      text += " or " + in_quotes(table[i].kind);
    }
    text += "\n" + make()->help();
  }
  return text;
}

}  // namespace r1
