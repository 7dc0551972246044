// JSON Lines in and out: rows keep their order and their other fields.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/files.h"
#include "base/json.h"

namespace r1 {

struct RowOptions {
  std::string in, out;
  void add_to(CLI::App& command);
};

// Calls visit(row, where) for each row of a file ("-": the standard input). Blank lines are
// skipped. InputError names file and line of a row that is not a JSON object.
void read_rows(const std::string& in,
               const std::function<void(OrderedJson& row, const std::string& where)>& visit);

// Rows to a file, which changes as a whole in finish() or not at all, or ("") to the standard
// output.
class RowWriter {
 public:
  explicit RowWriter(const std::string& out);
  void write(const OrderedJson& row);
  void finish();

 private:
  std::optional<AtomicFile> file_;
};

// Writes each row of the input as `edit` leaves it.
void edit_rows(const RowOptions& options,
               const std::function<void(OrderedJson& row, const std::string& where)>& edit);

// A row's string field, or InputError.
std::string text_field(const OrderedJson& row, const char* key, const std::string& where);
// A row's list of token ids, each in [0, vocab), or InputError.
std::vector<int32_t> ids_field(const OrderedJson& row, const char* key, int64_t vocab,
                               const std::string& where);

}  // namespace r1
