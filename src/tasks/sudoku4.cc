// Sudoku with four rows, columns and blocks, and one solution. All puzzles with the same solution
// are in the same split.
#include <algorithm>
#include <array>

#include "tasks/builtin.h"
#include "tasks/procedural.h"

namespace r1 {
namespace {

using Grid = std::array<int, 16>;  // row by row; 0 is an empty cell

bool same_unit(int i, int j) {
  const int row_i = i / 4, col_i = i % 4, row_j = j / 4, col_j = j % 4;
  return row_i == row_j || col_i == col_j || (row_i / 2 == row_j / 2 && col_i / 2 == col_j / 2);
}

bool fits(const Grid& grid, int cell, int digit) {
  for (int i = 0; i < 16; ++i) {
    if (i != cell && same_unit(i, cell) && grid[static_cast<size_t>(i)] == digit) return false;
  }
  return true;
}

// Counts the ways to fill the empty cells, up to `limit`; `grid` is left at the last one found.
int count_solutions(Grid& grid, const std::array<int, 4>& digits, int limit) {
  const auto empty = std::find(grid.begin(), grid.end(), 0);
  if (empty == grid.end()) return 1;
  int count = 0;
  for (const int digit : digits) {
    if (!fits(grid, static_cast<int>(empty - grid.begin()), digit)) continue;
    *empty = digit;
    count += count_solutions(grid, digits, limit - count);
    if (count >= limit) return count;
    *empty = 0;
  }
  return count;
}

bool has_one_solution(Grid grid) {
  return count_solutions(grid, {1, 2, 3, 4}, 2) == 1;
}

// Each of the 288 full grids can come: the first row and column are shuffled, the rest is searched
// for with the digits in random order.
std::optional<Grid> random_solution(Rng& rng) {
  Grid grid{};
  std::vector<int> digits = {1, 2, 3, 4};
  rng.shuffle(digits);
  std::copy(digits.begin(), digits.end(), grid.begin());
  const uint64_t swap = rng.below(2);
  grid[4] = digits[2 + swap];
  grid[5] = digits[3 - swap];
  rng.shuffle(digits);
  grid[8] = digits[0];
  if (!fits(grid, 8, digits[0])) return std::nullopt;
  rng.shuffle(digits);
  if (count_solutions(grid, {digits[0], digits[1], digits[2], digits[3]}, 1) == 0) {
    return std::nullopt;
  }
  return grid;
}

std::string grid_text(const Grid& grid) {
  std::string text;
  for (const int digit : grid) text += digit == 0 ? '.' : static_cast<char>('0' + digit);
  return text;
}

Grid sudoku4_puzzle(const Json& data) {
  constexpr const char* kError =
      "a sudoku4 problem needs 'puzzle': 16 cells row by row, each a digit from 1 to 4 or a dot";
  if (!data.is_object() || !data.contains("puzzle") || !data["puzzle"].is_string()) {
    throw InputError(kError);
  }
  const std::string& text = data["puzzle"].get_ref<const std::string&>();
  if (text.size() != 16 || text.find_first_not_of(".1234") != text.npos) throw InputError(kError);
  Grid grid{};
  for (size_t i = 0; i < 16; ++i) grid[i] = text[i] == '.' ? 0 : text[i] - '0';
  return grid;
}

// 16 digits with white space anywhere.
std::optional<Grid> parse_grid(std::string_view text) {
  Grid grid{};
  size_t count = 0;
  for (const char c : text) {
    if (trim(std::string_view(&c, 1)).empty()) continue;
    if (c < '0' || c > '9' || count == 16) return std::nullopt;
    grid[count++] = c - '0';
  }
  if (count != 16) return std::nullopt;
  return grid;
}

bool solves(const Grid& grid, const Grid& puzzle) {
  for (int i = 0; i < 16; ++i) {
    const int digit = grid[static_cast<size_t>(i)], given = puzzle[static_cast<size_t>(i)];
    if (digit < 1 || digit > 4 || !fits(grid, i, digit)) return false;
    if (given != 0 && given != digit) return false;
  }
  return true;
}

class Sudoku4 : public ProceduralTask {
 public:
  explicit Sudoku4(const std::map<std::string, int64_t>& values)
      : ProceduralTask("sudoku4", "fill in a 4x4 sudoku",
                       {{"blanks", "how many cells are empty", 1, 12, 8}}, values) {}

  Verdict verify(const Problem& problem, std::string_view completion) const override {
    const Grid puzzle = sudoku4_puzzle(problem.data);
    return grade(completion, [&](std::string_view answer) -> std::optional<bool> {
      const auto grid = parse_grid(answer);
      if (!grid) return std::nullopt;
      return solves(*grid, puzzle);
    });
  }

 private:
  std::optional<Problem> make(Rng& rng, Split wanted) const override {
    const auto solution = random_solution(rng);
    // Before the work of emptying cells: other splits' puzzles are thrown away.
    if (!solution || split_of(grid_text(*solution)) != wanted) return std::nullopt;
    Grid puzzle = *solution;
    std::vector<size_t> cells(16);
    for (size_t i = 0; i < 16; ++i) cells[i] = i;
    rng.shuffle(cells);
    int64_t blanks = 0;
    for (const size_t cell : cells) {
      if (blanks == knob("blanks")) break;
      const int digit = std::exchange(puzzle[cell], 0);
      if (has_one_solution(puzzle)) {
        ++blanks;
      } else {
        puzzle[cell] = digit;
      }
    }
    if (blanks < knob("blanks")) return std::nullopt;
    return problem(puzzle, *solution);
  }

  static Problem problem(const Grid& puzzle, const Grid& solution) {
    Problem p;
    p.prompt =
        "Fill in the empty cells of this 4x4 sudoku, so that each row, each column and each of "
        "the four 2x2 blocks has the digits 1, 2, 3 and 4 once. A dot is an empty cell.\n";
    const std::string cells = grid_text(puzzle);
    for (size_t i = 0; i < 16; ++i)
      p.prompt += std::string(1, cells[i]) + (i % 4 == 3 ? "\n" : " ");
    p.prompt += "Put all 16 digits of the full grid, row by row, in <answer>...</answer>.\n";
    p.answer = grid_text(solution);
    p.key = p.answer;
    p.data = {{"puzzle", cells}};
    return p;
  }
};

}  // namespace

std::unique_ptr<Task> make_sudoku4(const std::map<std::string, int64_t>& knobs) {
  return std::make_unique<Sudoku4>(knobs);
}

}  // namespace r1
