#include "recipe/report.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "base/files.h"
#include "base/testing.h"
#include "recipe/report_data.h"
#include "recipe/run_folder.h"

namespace r1 {
namespace {

namespace fs = std::filesystem;

constexpr char kHostile[] = "</script><img src=x onerror=alert(1)>{{js}}<!-- ]]> \" \\ \x01 \xff";

CompletionRow row_of(int64_t step, bool correct, const std::string& text) {
  CompletionRow row;
  row.step = step;
  row.prompt = "prompt of " + std::to_string(step);
  row.completion = text;
  row.tokens = {text};
  row.logprobs = {-0.5f};
  row.rewards = {{"accuracy", correct ? 1.0 : 0.0}};
  row.reward = correct ? 1 : 0;
  row.correct = correct;
  return row;
}

void write_run(const fs::path& path, int64_t steps, int per_step, const std::string& text) {
  RunFolder run(path);
  run.write_recipe("name = \"demo " + std::string("</script>") +
                   "\"\nversion = \"0.1.0\"\nseed = 7\n");
  run.add_metrics({{"stage", "grpo"},
                   {"step", 0},
                   {"label", "before"},
                   {"accuracy", 0.1},
                   {"accuracy_low", 0.08},
                   {"accuracy_high", 0.13},
                   {"n", 500}});
  for (int64_t step = 1; step <= steps; ++step) {
    run.add_metrics({{"stage", "grpo"},
                     {"step", step},
                     {"reward", 0.25},
                     {"logprob_mismatch", step == 3 ? 2 : 0},
                     {"note", "text is not a curve"}});
    std::vector<CompletionRow> rows;
    for (int i = 0; i < per_step; ++i) rows.push_back(row_of(step, i % 8 == 0, text));
    run.add_completions("grpo", rows);
  }
  Ledger ledger;
  ledger.add("grpo", 10, 20, 30, 40);
  run.write_ledger(ledger);
}

// What the page's script reads.
Json data_of(const std::string& page) {
  const std::string open = "<script type=\"application/json\" id=\"data\">";
  const size_t begin = page.find(open) + open.size();
  return parse_json(page.substr(begin, page.find("</script>", begin) - begin), "page");
}

TEST(Report, HoldsTheRun) {
  const TempFolder folder;
  write_run(folder / "a", 5, 32, "text");
  EXPECT_EQ(write_report(folder / "a"), folder / "a/report.html");
  const Json data = data_of(read_file(folder / "a/report.html"));
  EXPECT_EQ(data["name"], "demo </script>");
  EXPECT_EQ(data["version"], "0.1.0");
  EXPECT_EQ(data["seed"], "7");
  ASSERT_EQ(data["evals"].size(), 1u);  // a row with a label is no point of a curve
  EXPECT_EQ(data["evals"][0]["stage"], "grpo");
  EXPECT_EQ(data["evals"][0]["accuracy"], 0.1);
  EXPECT_EQ(data["evals"][0]["high"], 0.13);
  EXPECT_EQ(data["stages"].size(), 1u);
  const Json& stage = data["stages"][0];
  EXPECT_EQ(stage["columns"]["step"], Json::array({1, 2, 3, 4, 5}));
  EXPECT_EQ(stage["columns"]["logprob_mismatch"], Json::array({0, 0, 2, 0, 0}));
  EXPECT_EQ(stage["mismatches"], 2);
  EXPECT_FALSE(stage["columns"].contains("note"));
  EXPECT_EQ(data["ledger"]["total"]["tokens_trained"], 20);
  ASSERT_EQ(data["completions"][0]["shown"].size(), 5u);
  const Json step = parse_json(data["completions"][0]["shown"][4].get<std::string>(), "step");
  EXPECT_EQ(step["step"], 5);
  EXPECT_EQ(step["count"], 32);
  EXPECT_EQ(step["correct"], 4);
  EXPECT_EQ(step["completions"].size(), 16u);
  EXPECT_EQ(step["completions"][3]["correct"], true);  // all four, though one in eight is
  EXPECT_EQ(step["completions"][4]["correct"], false);
  EXPECT_EQ(step["completions"][0]["logprobs"], Json::array({-0.5}));
  EXPECT_EQ(step["prompts"], Json::array({"prompt of 5"}));
}

TEST(Report, HostileTextIsInert) {
  const TempFolder folder;
  write_run(folder / "a", 1, 1, kHostile);
  const std::string page = report_page(folder / "a");
  EXPECT_EQ(page.find("<img"), std::string::npos);
  // The template's own: the data, the script.
  size_t ends = 0;
  for (size_t at = 0; (at = page.find("</script>", at)) != std::string::npos; ++at) ++ends;
  EXPECT_EQ(ends, 2u);
  const Json data = data_of(page);
  const Json step = parse_json(data["completions"][0]["shown"][0].get<std::string>(), "step");
  std::string text = kHostile;
  text.replace(text.size() - 1, 1, "\xEF\xBF\xBD");
  EXPECT_EQ(step["completions"][0]["tokens"][0], text);
}

TEST(Report, NothingIsLoadedFromElsewhere) {
  const TempFolder folder;
  write_run(folder / "a", 1, 1, "x");
  const std::string page = report_page(folder / "a");
  EXPECT_EQ(page.find("{{"), std::string::npos);
  EXPECT_NE(page.find("default-src 'none'"), std::string::npos);
  for (const char* loads : {"src=\"", "href=", "@import", "url(", "fetch(", "innerHTML", "eval("}) {
    EXPECT_EQ(page.find(loads), std::string::npos) << loads;
  }
}

TEST(Report, SizeIsBounded) {
  const TempFolder folder;
  std::string text;
  for (int i = 0; i < 4000; ++i) text += "<&\"";
  write_run(folder / "a", 200, 20, text);
  const std::string page = report_page(folder / "a");
  EXPECT_LT(page.size(), 20u << 20);
  const Json data = data_of(page);
  const size_t shown = data["completions"][0]["shown"].size();
  EXPECT_GE(shown, 32u);
  EXPECT_LE(shown, 65u);
  EXPECT_EQ(data["completions"][0]["steps"], 200);
  const Json last = parse_json(data["completions"][0]["shown"].back().get<std::string>(), "step");
  EXPECT_EQ(last["step"], 200);
}

TEST(Report, LongCompletionsKeepBothEnds) {
  const TempFolder folder;
  RunFolder(folder / "a").write_recipe("name = \"a\"");
  {
    RunFolder run(folder / "a");
    CompletionRow row = row_of(1, true, "");
    row.tokens.clear();
    row.logprobs.clear();
    for (int i = 0; i < 5000; ++i) {
      row.tokens.push_back(std::to_string(i) + " ");
      row.logprobs.push_back(static_cast<float>(-i));
    }
    run.add_completions("grpo", std::vector<CompletionRow>{row});
  }
  const Json data = parse_json(report_data(folder / "a"), "data");
  const Json c =
      parse_json(data["completions"][0]["shown"][0].get<std::string>(), "step")["completions"][0];
  const size_t head = c["cut_at"], left_out = c["left_out"];
  EXPECT_EQ(c["length"], 5000);
  EXPECT_EQ(c["tokens"].size() + left_out, 5000u);
  EXPECT_EQ(c["tokens"].size(), c["logprobs"].size());
  EXPECT_EQ(c["tokens"][head - 1], std::to_string(head - 1) + " ");
  EXPECT_EQ(c["tokens"][head], std::to_string(head + left_out) + " ");
  EXPECT_EQ(c["logprobs"].back(), -4999);
  EXPECT_GT(head, 100u);
  EXPECT_GT(c["tokens"].size() - head, 100u);
}

TEST(Report, BadFolders) {
  const TempFolder folder;
  const auto error_of = [](const fs::path& run) -> std::string {
    try {
      write_report(run);
    } catch (const InputError& e) {
      return e.what();
    }
    return "no error";
  };
  EXPECT_TRUE(error_of(folder / "none").starts_with((folder / "none/recipe.toml").string()));
  write_file_atomic(folder / "recipe.toml", "name = 3\nseed = \"x\"");
  EXPECT_EQ(error_of(folder.path()), "no error");
  write_file_atomic(folder / "metrics.jsonl",
                    "{\"stage\":\"a\",\"step\":1}\n{\"stage\":1,\"step\":1}\n");
  EXPECT_EQ(error_of(folder.path()),
            (folder / "metrics.jsonl").string() + ":2: expected a row with \"stage\" and \"step\"");
  write_file_atomic(folder / "metrics.jsonl", "");
  write_file_atomic(folder / "ledger.json", "{}");
  EXPECT_NE(error_of(folder.path()), "no error");
  write_file_atomic(folder / "ledger.json", "{\"stages\":[]}");
  make_folder(folder / "completions");
  write_file_atomic(
      folder / "completions/x.jsonl",
      "{\"tokens\":3,\"logprobs\":[\"a\"],\"rewards\":[],\"correct\":\"yes\",\"step\":[]}\n"
      "{\"tokens\":[1,null],\"logprobs\":{},\"prompt\":{},\"step\":1e300}\n{}\n");
  EXPECT_EQ(error_of(folder.path()), "no error");
}

TEST(EvenSample, KeepsEvenlySpacedItems) {
  for (const size_t count : {0, 1, 7, 8, 9, 100, 1000}) {
    EvenSample<size_t> sample(8);
    for (size_t i = 0; i < count; ++i) sample.add(i);
    EXPECT_EQ(sample.seen(), count);
    const auto& items = sample.items();
    EXPECT_LE(items.size(), 8u);
    EXPECT_GE(items.size(), std::min<size_t>(count, 4));
    for (size_t i = 0; i < items.size(); ++i)
      EXPECT_EQ(items[i], i * (items.size() > 1 ? items[1] : 0));
  }
}

}  // namespace
}  // namespace r1
