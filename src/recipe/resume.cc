#include "recipe/resume.h"

#include <map>

#include "base/error.h"

namespace r1 {
namespace {

// "optimizer.adam_beta1" and its value.
void flatten(const Json& json, const std::string& path, std::map<std::string, Json>& out) {
  for (const auto& [key, value] : json.items()) {
    const std::string here = join_path(path, key);
    if (value.is_object()) {
      flatten(value, here, out);
    } else {
      out[here] = value;
    }
  }
}

std::map<std::string, Json> values_of(const Json& json) {
  std::map<std::string, Json> out;
  flatten(json, "", out);
  return out;
}

bool may_change(const std::string& key) {
  for (const char* head : {"eval_", "save_", "logging_", "log_"}) {
    if (key.starts_with(head)) return true;
  }
  return key == "max_steps" || key == "max_seconds";
}

std::string text_of(const std::map<std::string, Json>& values, const std::string& key) {
  const auto found = values.find(key);
  return found == values.end() ? "nothing" : toml_value(found->second);
}

// Adds what differs between two configs, or refuses it.
void compare(const Json& before, const Json& now, int64_t stage, const std::string& head,
             const std::string& file, std::vector<RecipeChange>& changes) {
  const auto old_values = values_of(before), new_values = values_of(now);
  std::map<std::string, Json> all = old_values;
  all.insert(new_values.begin(), new_values.end());
  for (const auto& [key, ignored] : all) {
    RecipeChange change{stage, key, text_of(old_values, key), text_of(new_values, key)};
    if (change.before == change.after || (stage < 0 && key == "version")) continue;
    if (!may_change(key)) {
      throw InputError(file + ": the folder holds a run of another recipe: it has " + head + key +
                       " = " + change.before + " where this one has " + change.after +
                       "; choose another --out");
    }
    changes.push_back(std::move(change));
  }
}

}  // namespace

std::vector<RecipeChange> recipe_changes(const std::filesystem::path& file, const Recipe& recipe) {
  std::vector<RecipeChange> changes;
  std::error_code ignored;
  if (!std::filesystem::exists(file, ignored)) return changes;
  const Recipe before = read_recipe(file, {});
  compare(config_json(before), config_json(recipe), -1, "", file.string(), changes);
  for (size_t i = 0; i < std::max(before.stages.size(), recipe.stages.size()); ++i) {
    auto name = [i](const Recipe& r) {
      return i < r.stages.size() ? "stage '" + r.stages[i]->name() + "'" : std::string("no stage");
    };
    if (name(before) != name(recipe)) {
      throw InputError(file.string() + ": the folder holds a run of another recipe: it has " +
                       name(before) + " where this one has " + name(recipe) +
                       "; choose another --out");
    }
    compare(before.stages[i]->json(), recipe.stages[i]->json(), static_cast<int64_t>(i),
            recipe.stages[i]->name() + ".", file.string(), changes);
  }
  return changes;
}

}  // namespace r1
