// The program as its users meet it: runs, interruptions, bad input. Each test starts r1 itself.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <functional>
#include <optional>
#include <thread>

#include "base/files.h"
#include "base/json.h"
#include "base/rng.h"
#include "base/testing.h"
#include "train/checkpoint.h"

namespace r1 {
namespace {

namespace fs = std::filesystem;

// All kinds of stages on a model of 20 thousand parameters: half a second.
constexpr const char* kRecipe = R"(
name = "tiny"
tokenizer = "numbers"
[new_model]
hidden_size = 32
num_hidden_layers = 2
num_attention_heads = 2
num_key_value_heads = 1
head_dim = 16
intermediate_size = 64
[[stage]]
kind = "pretrain"
max_steps = 24
batch_tokens = 1024
micro_batch_tokens = 512
learning_rate = 1e-2
logging_steps = 1
save_steps = 5
traces.drill = 0.2
[[stage]]
kind = "grpo"
max_steps = 6
prompts_per_step = 8
num_generations = 8
max_completion_length = 80
eval_problems = 20
eval_steps = 3
save_steps = 2
loss.beta = 0.01
ref_model_sync_steps = 2
[[stage]]
kind = "eval"
problems = 20
samples = 2
max_completion_length = 60
)";

struct Outcome {
  int code = -1;  // -1: killed
  std::string out, err;
};

struct Launch {
  std::vector<std::string> arguments;
  fs::path folder;          // where the output goes, and the current folder
  int kill_after_ms = 0;    // 0: never
  uint64_t file_limit = 0;  // bytes a file may have: a disk that fills up; 0: no limit
  fs::path input = {};      // the standard input; empty: closed
};

Outcome launch(const Launch& l) {
  const fs::path out = l.folder / "stdout.txt", err = l.folder / "stderr.txt";
  const pid_t child = ::fork();
  if (child == 0) {
    if (::chdir(l.folder.c_str()) != 0) ::_exit(99);
    ::dup2(::open(out.c_str(), O_CREAT | O_TRUNC | O_WRONLY, 0600), STDOUT_FILENO);
    ::dup2(::open(err.c_str(), O_CREAT | O_TRUNC | O_WRONLY, 0600), STDERR_FILENO);
    ::close(STDIN_FILENO);  // the next file that is opened takes its place
    if (!l.input.empty()) ::open(l.input.c_str(), O_RDONLY);
    std::optional<FileSizeLimit> full_disk;
    if (l.file_limit > 0) full_disk.emplace(l.file_limit);
    std::vector<char*> argv = {const_cast<char*>("r1")};
    for (const std::string& a : l.arguments) argv.push_back(const_cast<char*>(a.c_str()));
    argv.push_back(nullptr);
    ::execv(R1_BINARY, argv.data());
    ::_exit(98);
  }
  if (l.kill_after_ms > 0) {
    std::this_thread::sleep_for(std::chrono::milliseconds(l.kill_after_ms));
    ::kill(child, SIGKILL);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, read_file(out), read_file(err)};
}

class Program : public ::testing::Test {
 protected:
  void SetUp() override { write("recipe.toml", kRecipe); }
  fs::path path(const std::string& name) const { return folder_.path() / name; }
  void write(const std::string& name, const std::string& text) const {
    write_file_atomic(path(name), text);
  }
  Outcome r1(std::vector<std::string> arguments) const {
    return launch({std::move(arguments), folder_.path()});
  }
  // A run of the recipe, and what it left.
  Outcome run(const std::string& out, int threads, int kill_after_ms = 0) const {
    return launch({{"run", "recipe.toml", "--out", out, "--threads", std::to_string(threads)},
                   folder_.path(),
                   kill_after_ms});
  }
  std::string weights(const std::string& run) const {
    const auto newest = newest_checkpoint(path(run) / "checkpoints");
    return newest ? read_file(newest->path / "model.safetensors") : "";
  }
  // The rows of metrics but for what differs from run to run: times.
  std::string metrics(const std::string& run) const {
    std::string text, all = read_file(path(run) / "metrics.jsonl");
    for (size_t begin = 0; begin < all.size();) {
      const size_t end = all.find('\n', begin);
      Json row = Json::parse(all.substr(begin, end - begin));
      for (const char* key : {"time", "seconds", "tokens_per_second"}) row.erase(key);
      text += row.dump() + "\n";
      begin = end + 1;
    }
    return text;
  }
  // Exit code and one line of `expected` text on the standard error.
  void expect_refusal(const Outcome& o, int code, const std::string& expected) const {
    EXPECT_EQ(o.code, code) << o.err;
    EXPECT_NE(o.err.find(expected), std::string::npos) << o.err;
    const size_t line = o.err.find("r1: ");
    ASSERT_NE(line, std::string::npos) << o.err;
    EXPECT_EQ(o.err.find('\n', line), o.err.size() - 1) << o.err;
  }

  TempFolder folder_;
};

TEST_F(Program, GivesTheSameBytesOnAnyNumberOfThreads) {
  ASSERT_EQ(run("one", 1).code, 0);
  ASSERT_FALSE(weights("one").empty());
  for (const int threads : {2, 4}) {
    const std::string name = "threads" + std::to_string(threads);
    ASSERT_EQ(run(name, threads).code, 0);
    EXPECT_TRUE(weights(name) == weights("one")) << threads;
    EXPECT_EQ(metrics(name), metrics("one"));
  }
  ASSERT_EQ(r1({"run", "recipe.toml", "--out", "other", "--seed", "2"}).code, 0);
  EXPECT_FALSE(weights("other") == weights("one"));
}

TEST_F(Program, SamplesWhatItTrains) {
  ASSERT_EQ(run("run", 2).code, 0);
  const std::string rows = metrics("run");
  EXPECT_NE(rows.find("\"logprob_mismatch\":0"), std::string::npos);
  for (size_t at = 0; (at = rows.find("\"logprob_mismatch\":", at)) != std::string::npos; ++at) {
    EXPECT_EQ(rows.substr(at, 21).substr(19, 1), "0");
  }
}

TEST_F(Program, GoesOnAfterKillAsIfNothingHadHappened) {
  ASSERT_EQ(run("whole", 2).code, 0);
  Rng rng(7);
  int kills = 0;
  for (int attempt = 0;; ++attempt) {
    ASSERT_LT(attempt, 200);
    // Later attempts live longer, so that slow machines get there too.
    const int ms = static_cast<int>(rng.between(20, 200)) + 10 * attempt;
    const Outcome o = run("killed", 1 + attempt % 3, ms);
    if (o.code == 0) break;
    ASSERT_EQ(o.code, -1) << o.err;
    ++kills;
  }
  EXPECT_GE(kills, 1);
  EXPECT_TRUE(weights("killed") == weights("whole"));
  EXPECT_EQ(metrics("killed"), metrics("whole"));
}

TEST_F(Program, DoesNothingWhenRunAgain) {
  ASSERT_EQ(run("run", 2).code, 0);
  const auto before = fs::last_write_time(path("run") / "metrics.jsonl");
  const Outcome again = run("run", 2);
  EXPECT_EQ(again.code, 0);
  EXPECT_NE(again.err.find("finished before"), std::string::npos) << again.err;
  EXPECT_EQ(fs::last_write_time(path("run") / "metrics.jsonl"), before);
}

TEST_F(Program, SaysThatItsTimeIsOver) {
  const Outcome o =
      r1({"run", "recipe.toml", "--out", "run", "--set", "grpo.max_seconds=0.000001"});
  EXPECT_EQ(o.code, 0);
  EXPECT_NE(o.err.find("max_seconds) after 1 of "), std::string::npos) << o.err;
}

TEST_F(Program, RefusesAnotherRecipeInTheSameFolder) {
  ASSERT_EQ(run("run", 2).code, 0);
  const std::string before = metrics("run");
  expect_refusal(r1({"run", "recipe.toml", "--out", "run", "--set", "grpo.learning_rate=1e-3"}), 2,
                 "learning_rate");
  EXPECT_EQ(metrics("run"), before);
}

TEST_F(Program, SaysWhatIsWrongWithARecipe) {
  write("typo.toml",
        std::string(kRecipe) + "[[stage]]\nkind = \"grpo\"\nname = \"x\"\nlearnin_rate = 1\n");
  expect_refusal(r1({"run", "typo.toml"}), 2, "learning_rate");
  expect_refusal(r1({"run", "typo.toml"}), 2, "typo.toml:");
  expect_refusal(r1({"run", "absent.toml"}), 2, "absent.toml");
  expect_refusal(r1({"run", "recipe.toml", "--set", "grpo.max_steps=-1"}), 2, "max_steps");
  expect_refusal(r1({"run", "recipe.toml", "--set", "grpo.task=nonsense"}), 2, "nonsense");
  expect_refusal(r1({"run", "recipe.toml", "--isa", "sse9"}), 2, "sse9");
}

TEST_F(Program, SaysThatTheDiskIsFull) {
  const Outcome o = launch({{"run", "recipe.toml", "--out", "run"}, folder_.path(), 0, 20000});
  EXPECT_EQ(o.code, 1) << o.err;
  EXPECT_NE(o.err.find("run/checkpoints"), std::string::npos) << o.err;
  // Once there is room again the run ends as if the disk had never been full.
  ASSERT_EQ(run("run", 2).code, 0);
  ASSERT_EQ(run("whole", 2).code, 0);
  EXPECT_TRUE(weights("run") == weights("whole"));
}

TEST_F(Program, SaysThatAFolderCannotBeWrittenTo) {
  write("file", "not a folder");
  expect_refusal(r1({"run", "recipe.toml", "--out", "file/run"}), 1, "file");
}

TEST_F(Program, RefusesDamagedModels) {
  ASSERT_EQ(run("run", 2).code, 0);
  const fs::path good = newest_checkpoint(path("run") / "checkpoints")->path;
  auto damaged = [&](const std::string& file, const std::function<void(std::string&)>& damage) {
    fs::remove_all(path("bad"));
    fs::copy(good, path("bad"));
    std::string bytes = read_file(good / file);
    damage(bytes);
    write("bad/" + file, bytes);
    return r1({"generate", "bad", "--prompt", "Numbers:", "--max-new-tokens", "2"});
  };
  EXPECT_EQ(damaged("config.json", [](std::string&) {}).code, 0);
  expect_refusal(damaged("model.safetensors", [](std::string& b) { b.resize(b.size() / 2); }), 2,
                 "model.safetensors");
  expect_refusal(damaged("model.safetensors", [](std::string& b) { b[7] = '\x7f'; }), 2,
                 "model.safetensors");
  expect_refusal(damaged("config.json", [](std::string& b) { b.resize(b.size() - 9); }), 2,
                 "config.json");
  expect_refusal(damaged("config.json",
                         [](std::string& b) {
                           b.replace(b.find("\"hidden_size\": 32"), 17, "\"hidden_size\": 64");
                         }),
                 2, "bad: tensor");
  expect_refusal(damaged("tokenizer.json", [](std::string& b) { b = "[1, 2"; }), 2,
                 "tokenizer.json");
  expect_refusal(r1({"generate", "no-such-model", "--prompt", "x"}), 2, "no-such-model");
}

TEST_F(Program, ScoresWhatItGenerates) {
  ASSERT_EQ(run("run", 2).code, 0);
  const Outcome o = r1({"generate", "run", "--prompt", "Numbers: 3 7 8\nTarget: 53\n", "--json",
                        "--max-new-tokens", "20"});
  ASSERT_EQ(o.code, 0) << o.err;
  const Json generated = Json::parse(o.out);
  const auto ids = generated["ids"].get<std::vector<int>>();
  write("prompt.jsonl", Json{{"text", "Numbers: 3 7 8\nTarget: 53\n"}}.dump() + "\n");
  std::vector<int> all = Json::parse(r1({"tokenize", "run", "--in", "prompt.jsonl"}).out)["ids"]
                             .get<std::vector<int>>();
  const size_t prompt = all.size();
  all.insert(all.end(), ids.begin(), ids.end());
  write("rows.jsonl", Json{{"ids", all}, {"kept", "as it is"}}.dump() + "\n");
  const Outcome scored = r1({"score", "run", "--in", "rows.jsonl", "--full", "full.bin"});
  ASSERT_EQ(scored.code, 0) << scored.err;
  const Json row = Json::parse(scored.out);
  EXPECT_EQ(row["kept"], "as it is");
  const auto logprobs = row["logprobs"].get<std::vector<float>>();
  ASSERT_EQ(logprobs.size(), all.size() - 1);
  const std::string full = read_file(path("full.bin"));
  const size_t vocab = full.size() / sizeof(float) / logprobs.size();
  ASSERT_EQ(full.size(), logprobs.size() * vocab * sizeof(float));
  for (size_t i = 0; i < logprobs.size(); ++i) {
    float value = 0;
    std::memcpy(&value, full.data() + (i * vocab + static_cast<size_t>(all[i + 1])) * sizeof value,
                sizeof value);
    EXPECT_EQ(value, logprobs[i]) << i;
  }
  const auto sampled = generated["logprobs"].get<std::vector<float>>();
  for (size_t i = 0; i < ids.size(); ++i) EXPECT_EQ(sampled[i], logprobs[prompt - 1 + i]) << i;
}

// A checkpoint of the recipe, with a template in the shape of DeepSeek-R1's.
constexpr const char* kTemplate =
    "{% for m in messages %}{% if m.role == 'assistant' %}"
    "{{ m.content.split('</think>')[-1] + '<|endoftext|>' }}"
    "{% else %}{{ m.role ~ ':' ~ m.content }}{% endif %}{% endfor %}<think>\n";

TEST_F(Program, GeneratesFromConversations) {
  ASSERT_EQ(run("run", 2).code, 0);
  fs::copy(newest_checkpoint(path("run") / "checkpoints")->path, path("model"));
  const std::string rows = R"({"id": 7, "messages": [{"role": "user", "content": "3 7 <think>"}]}
{"prompt": "Numbers: 3 7"}
)";
  write("rows.jsonl", rows);
  const std::vector<std::string> generate = {
      "generate", "model",   "--in", "rows.jsonl",       "-n",
      "2",        "--think", "4",    "--max-new-tokens", "20"};
  expect_refusal(r1(generate), 2, "rows.jsonl:1: model: has no chat template");
  write("model/chat_template.jinja", kTemplate);
  const Outcome o = r1(generate);
  ASSERT_EQ(o.code, 0) << o.err;
  const Json first = Json::parse(o.out.substr(0, o.out.find('\n')));
  EXPECT_EQ(first["id"], 7);
  ASSERT_EQ(first["completions"].size(), 2u);
  for (const Json& c : first["completions"]) {
    const std::string thinking = c["thinking"], answer = c["answer"];
    EXPECT_EQ(c["text"], thinking + "</think>" + answer);
    EXPECT_EQ(c["ids"].size(), c["logprobs"].size());
  }
  // One question by itself is the row of that question.
  const Outcome one = r1({"generate", "model", "--chat", "--prompt", "3", "--json", "--think", "0",
                          "--max-new-tokens", "9"});
  ASSERT_EQ(one.code, 0) << one.err;
  EXPECT_EQ(Json::parse(one.out)["thinking"], "\n");
  // "\n", "</think>", "\n", "\n"
  EXPECT_EQ(Json::parse(one.out)["forced"].size(), 4u);
  write("model/chat_template.jinja", "{{ messages[0].content }}{% include 'x' %}");
  expect_refusal(r1(generate), 2, "model/chat_template.jinja:1: the tag \"include\"");
  write("model/chat_template.jinja", "{{ raise_exception('no') }}");
  expect_refusal(r1(generate), 2,
                 "rows.jsonl:1: model/chat_template.jinja:1: the template refuses");
}

TEST_F(Program, Chats) {
  ASSERT_EQ(run("run", 2).code, 0);
  fs::copy(newest_checkpoint(path("run") / "checkpoints")->path, path("model"));
  write("model/chat_template.jinja", kTemplate);
  write("lines",
        "/system Be brief.\n/think 3\nhello\n\n/fold\n//again\n/again\n/wat\n/save chat.jsonl\n"
        "/save no/where.jsonl\n/quit\nnever\n");
  const Outcome o =
      launch({{"chat", "model", "--max-new-tokens", "12"}, folder_.path(), 0, 0, path("lines")});
  ASSERT_EQ(o.code, 0) << o.err;
  EXPECT_NE(o.err.find("there is no \"/wat\""), std::string::npos) << o.err;
  EXPECT_NE(o.err.find("no/where.jsonl"), std::string::npos) << o.err;
  std::string said;
  const std::string saved = read_file(path("chat.jsonl"));
  for (size_t begin = 0; begin < saved.size();) {
    const size_t end = saved.find('\n', begin);
    const Json m = Json::parse(saved.substr(begin, end - begin));
    said += m["role"].get<std::string>()[0];
    if (m["role"] == "user") said += "(" + m["content"].get<std::string>() + ")";
    if (m["role"] == "assistant") {
      EXPECT_NE(m["content"].get<std::string>().find("</think>"), std::string::npos);
    }
    begin = end + 1;
  }
  EXPECT_EQ(said, "su(hello)au(/again)a");
}

TEST_F(Program, GradesRows) {
  write("rows.jsonl",
        "{\"numbers\": [3, 7, 8], \"target\": 53, \"completion\": \"<answer>7 * 8 - 3</answer>\", "
        "\"id\": 4}\n"
        "{\"numbers\": [3, 7, 8], \"target\": 53, \"completion\": \"<answer>7 * 8</answer>\"}\n");
  const Outcome o = r1({"verify", "--verifier", "countdown", "--in", "rows.jsonl"});
  ASSERT_EQ(o.code, 0) << o.err;
  const size_t end = o.out.find('\n');
  const Json first = Json::parse(o.out.substr(0, end)), second = Json::parse(o.out.substr(end + 1));
  EXPECT_EQ(first["reward"], 1.0);
  EXPECT_EQ(first["id"], 4);
  EXPECT_EQ(second["reward"], 0.0);
  EXPECT_EQ(second["reason"], "wrong numbers");
  write("rows.jsonl", "{\"completion\": 3}\n");
  expect_refusal(r1({"verify", "--verifier", "countdown", "--in", "rows.jsonl"}), 2,
                 "rows.jsonl:1");
}

TEST_F(Program, GradesMathematics) {
  write("rows.jsonl",
        "{\"answer\": \"\\\\frac{3}{2}\", \"completion\": \"so \\\\boxed{1.5}\"}\n"
        "{\"answer\": 3, \"completion\": \"\\\\boxed{4}\", \"x\": null}\n");
  const Outcome o = r1({"verify", "--verifier", "math", "--in", "rows.jsonl"});
  ASSERT_EQ(o.code, 0) << o.err;
  EXPECT_NE(o.out.find("\"reason\":\"correct\""), std::string::npos) << o.out;
  EXPECT_NE(o.out.find("\"x\":null,\"reward\":0.0,\"reason\":\"wrong\""), std::string::npos)
      << o.out;
  for (const char* bad :
       {"{}", "[1]", "null", "{\"completion\": \"3\"}", "{\"answer\": \"3\"}",
        "{\"answer\": null, \"completion\": \"3\"}", "\x01\xff{", "{\"answer\""}) {
    write("rows.jsonl", std::string(bad) + "\n");
    expect_refusal(r1({"verify", "--verifier", "math", "--in", "rows.jsonl"}), 2, "rows.jsonl:1");
  }
  expect_refusal(r1({"verify", "--verifier", "maths", "--in", "rows.jsonl"}), 2, "\"math\"");
}

// A file of problems: the same numbers for any batch, and after an interruption.
TEST_F(Program, EvaluatesFiles) {
  ASSERT_EQ(run("run", 2).code, 0);
  std::string rows;
  for (int i = 0; i < 24; ++i) {
    rows += Json{{"problem", "Numbers: 3 7 " + std::to_string(i)}, {"answer", i % 2}}.dump() + "\n";
  }
  write("task.jsonl", rows);
  auto eval = [&](std::vector<std::string> more, int kill_after_ms = 0) {
    std::vector<std::string> all = {"eval", "run",    "--task",           "task.jsonl", "-n",
                                    "16",   "--json", "--max-new-tokens", "60"};
    all.insert(all.end(), more.begin(), more.end());
    return launch({all, folder_.path(), kill_after_ms});
  };
  const Outcome whole = eval({});
  ASSERT_EQ(whole.code, 0) << whole.err;
  const Json json = Json::parse(whole.out);
  EXPECT_EQ(json["problems"], 24);
  EXPECT_EQ(json["samples"], 16);
  EXPECT_EQ(eval({"--batch", "3", "--threads", "1"}).out, whole.out);
  // Killed again and again, a little later each time, it comes to its end, and to the same result.
  int kills = 0;
  while (kills < 100 && eval({"--out", "kept"}, 40 + 20 * kills).code == -1) ++kills;
  EXPECT_GT(kills, 0);
  EXPECT_EQ(eval({"--out", "kept"}).out, whole.out);
  const std::string kept = read_file(path("kept") / "completions.jsonl");
  EXPECT_EQ(std::count(kept.begin(), kept.end(), '\n'), 25);
  // A torn last row is sampled again; the rest is not.
  write("kept/completions.jsonl", kept.substr(0, kept.size() - 40));
  EXPECT_EQ(eval({"--out", "kept"}).out, whole.out);
  expect_refusal(eval({"--out", "kept", "--temperature", "0.5"}), 2, "another evaluation");
  write("bad.jsonl", "{\"problem\": \"x\"}\n");
  expect_refusal(r1({"eval", "run", "--task", "bad.jsonl"}), 2, "bad.jsonl:1");
  write("bad.jsonl", "{\"x\": 1}\n");
  expect_refusal(r1({"eval", "run", "--task", "bad.jsonl"}), 2, "bad.jsonl:1");
  expect_refusal(r1({"eval", "run", "--task", "none.jsonl"}), 2, "none.jsonl");
  expect_refusal(eval({"--verifier", "maths"}), 2, "\"math\"");
}

TEST_F(Program, EvaluatesThinkingBudgets) {
  ASSERT_EQ(run("run", 2).code, 0);
  const Outcome o = r1({"eval", "run", "--task", "countdown", "--problems", "10", "-n", "2",
                        "--json", "--budgets", "0,8,-1", "--max-new-tokens", "60"});
  ASSERT_EQ(o.code, 0) << o.err;
  const Json rows = Json::parse(o.out)["budgets"];
  ASSERT_EQ(rows.size(), 3u);
  EXPECT_EQ(rows[0]["budget"], 0);
  EXPECT_EQ(rows[0]["thinking_tokens"], 0);
  EXPECT_LE(rows[1]["thinking_tokens"], 10 * 2 * 8);
}

TEST_F(Program, TrainsOnFiles) {
  std::string rows;
  for (int i = 0; i < 40; ++i) {
    rows += Json{{"problem", "Numbers: 3 7 " + std::to_string(i)}, {"answer", i % 2}}.dump() + "\n";
  }
  write("task.jsonl", rows);
  const Outcome o = launch({{"run", "recipe.toml", "--out", "run", "--set", "grpo.task=task.jsonl",
                             "--set", "grpo.verifier=math", "--set", "grpo.max_steps=2"},
                            folder_.path()});
  EXPECT_EQ(o.code, 0) << o.err;
  EXPECT_NE(metrics("run").find("\"stage\":\"grpo\""), std::string::npos);
  expect_refusal(r1({"run", "recipe.toml", "--out", "other", "--set", "grpo.verifier=math"}), 2,
                 "its own verifier");
}

TEST_F(Program, TeachesItsUse) {
  const Outcome none = r1({});
  EXPECT_EQ(none.code, 2);
  EXPECT_NE(none.err.find("demo"), std::string::npos);
  EXPECT_EQ(r1({"--version"}).out.substr(0, 3), "r1 ");
  expect_refusal(r1({"evla"}), 2, "did you mean \"eval\"");
  for (const char* command : {"bench", "chat", "demo", "eval", "generate", "info", "report", "run",
                              "score", "task", "tokenize", "verify"}) {
    const Outcome help = r1({command, "--help"});
    EXPECT_EQ(help.code, 0) << command;
    EXPECT_GT(help.out.size(), 100u) << command;
  }
}

}  // namespace
}  // namespace r1
