// r1 tokenize: text to ids and back.
#include "base/error.h"
#include "rows.h"
#include "session.h"

namespace r1 {
namespace {

struct Options {
  CommonOptions common;
  RowOptions rows;
  std::string model;
  bool special = false, skip_special = false;
};

void tokenize(const Options& o) {
  // A tokenizer.json will do: no weights are read.
  const std::filesystem::path given(o.model);
  const std::string source =
      given.extension() == ".json" ? o.model : resolve_model(o.model).string();
  const Tokenizer tokenizer = parse_tokenizer(tokenizer_files(source), source);
  edit_rows(o.rows, [&](OrderedJson& row, const std::string& where) {
    if (row.contains("text")) {
      row["ids"] = tokenizer.encode(text_field(row, "text", where), o.special);
    } else if (row.contains("ids")) {
      row["text"] = tokenizer.decode(ids_field(row, "ids", INT32_MAX, where), o.skip_special);
    } else {
      throw InputError(where + ": expected \"text\" to encode or \"ids\" to decode");
    }
  });
}

}  // namespace

void add_tokenize(CLI::App& app) {
  auto o = std::make_shared<Options>();
  CLI::App* c = app.add_subcommand("tokenize", "add ids to rows with text, text to rows with ids");
  c->add_option("MODEL", o->model, std::string(kModelHelp) + "; or a tokenizer.json");
  o->rows.add_to(*c);
  c->add_flag("--add-special-tokens", o->special, "apply the template: BOS, EOS");
  c->add_flag("--skip-special-tokens", o->skip_special, "leave special tokens out of text");
  o->common.add_to(*c);
  c->callback([o] { tokenize(*o); });
}

}  // namespace r1
