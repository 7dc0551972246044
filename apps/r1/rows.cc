#include "rows.h"

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <iostream>

#include "base/error.h"

namespace r1 {

void RowOptions::add_to(CLI::App& command) {
  command.add_option("--in", in, "JSON Lines file; - is the standard input")->required();
  command.add_option("--out", out, "where the rows go; default: the standard output");
}

void read_rows(const std::string& in,
               const std::function<void(OrderedJson& row, const std::string& where)>& visit) {
  const bool standard = in == "-";
  std::ifstream file;
  if (!standard) {
    file.open(in, std::ios::binary);
    if (!file || std::filesystem::is_directory(in)) {
      throw InputError(in + ": cannot be opened for reading");
    }
  }
  const std::string name = standard ? "standard input" : in;
  std::istream& stream = standard ? std::cin : file;
  int64_t number = 0;
  for (std::string line; std::getline(stream, line);) {
    ++number;
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    const std::string where = name + ":" + std::to_string(number);
    OrderedJson row = parse_ordered_json(line, where);
    if (!row.is_object()) throw InputError(where + ": expected a JSON object");
    visit(row, where);
  }
  if (stream.bad()) throw JobError(name + ": cannot be read to its end");
}

RowWriter::RowWriter(const std::string& out) {
  if (!out.empty()) file_.emplace(out);
}

void RowWriter::write(const OrderedJson& row) {
  const std::string text = row.dump(-1, ' ', false, OrderedJson::error_handler_t::replace) + "\n";
  if (file_) {
    file_->write(text);
  } else if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size()) {
    throw JobError("standard output: cannot be written to");
  }
}

void RowWriter::finish() {
  if (file_) {
    file_->commit();
  } else if (std::fflush(stdout) != 0) {
    throw JobError("standard output: cannot be written to");
  }
}

void edit_rows(const RowOptions& options,
               const std::function<void(OrderedJson& row, const std::string& where)>& edit) {
  RowWriter writer(options.out);
  read_rows(options.in, [&](OrderedJson& row, const std::string& where) {
    edit(row, where);
    writer.write(row);
  });
  writer.finish();
}

std::string text_field(const OrderedJson& row, const char* key, const std::string& where) {
  const auto found = row.find(key);
  if (found == row.end() || !found->is_string()) {
    throw InputError(where + ": expected a string \"" + key + "\"");
  }
  return found->get<std::string>();
}

std::vector<int32_t> ids_field(const OrderedJson& row, const char* key, int64_t vocab,
                               const std::string& where) {
  const auto found = row.find(key);
  auto is_id = [&](const OrderedJson& id) {
    return id.is_number_integer() && id.get<int64_t>() >= 0 && id.get<int64_t>() < vocab;
  };
  if (found == row.end() || !found->is_array() ||
      !std::all_of(found->begin(), found->end(), is_id)) {
    throw InputError(where + ": expected \"" + key + "\", a list of token ids below " +
                     std::to_string(vocab));
  }
  return found->get<std::vector<int32_t>>();
}

}  // namespace r1
