// Whether a run may go on with a recipe: values are compared, not texts. A key that the folder's
// recipe lacks (an older version wrote it) has its default there.
//
// How long a stage trains (max_steps, max_seconds) and what is measured, kept and noted on the way
// (eval_*, save_*, logging_*, log_*) may change; everything else decides the result.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "recipe/recipe.h"

namespace r1 {

struct RecipeChange {
  int64_t stage = -1;         // its index; -1: of the recipe itself
  std::string key;            // "max_steps"
  std::string before, after;  // as TOML
};

// What the recipe changes of the one that `file` holds; nothing if there is no such file.
// InputError names the first key that may not differ, with both values.
std::vector<RecipeChange> recipe_changes(const std::filesystem::path& file, const Recipe& recipe);

}  // namespace r1
