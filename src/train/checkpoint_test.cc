#include "train/checkpoint.h"

#include <gtest/gtest.h>

#include <fstream>
#include <functional>
#include <memory>

#include "backend/backend.h"
#include "base/error.h"
#include "base/files.h"
#include "base/hash.h"
#include "base/testing.h"
#include "train/testing.h"

namespace r1 {
namespace {
namespace fs = std::filesystem;

const ModelCompanions kCompanions = {
    {{"tokenizer.json", "{\"a\": 1}"}, {"tokenizer_config.json", "{}"}}, Json::object()};

// A trainer and what it needs.
struct Training {
  explicit Training(Model&& m) : model(std::move(m)), trainer(model, ops, {}, false) {}
  Training() : Training(tiny_model(shared_ops(), tiny_config())) {}

  static Ops& shared_ops() {
    static ThreadPool pool(1);
    static const std::unique_ptr<Ops> ops = make_ops(pool);
    return *ops;
  }
  static Model load(const fs::path& path) {
    return Model::load(path, shared_ops(), DType::kF32, Model::Use::kTraining);
  }
  std::vector<float> moment1() { return downloaded(ops, trainer.moment1()); }
  std::vector<float> moment2() { return downloaded(ops, trainer.moment2()); }

  void update(uint64_t seed) {
    SequenceBatch batch;
    SequenceGroup g;
    g.prefix = random_ids(seed, 9);
    g.branches = {random_ids(seed + 100, 12), random_ids(seed + 200, 7)};
    batch.add(g, 0, 2);
    trainer.accumulate(batch, {}, std::vector<float>(batch.targets().size(), -1.0f / 19));
    trainer.apply(1e-2);
  }

  Ops& ops = shared_ops();
  Model model;
  Trainer trainer;
};

void flip_byte(const fs::path& file, uint64_t at) {
  std::fstream f(file, std::ios::in | std::ios::out | std::ios::binary);
  ASSERT_TRUE(f.good()) << file;
  f.seekg(static_cast<std::streamoff>(at));
  const char c = static_cast<char>(f.get() ^ 0x10);
  f.seekp(static_cast<std::streamoff>(at));
  f.put(c);
}

int64_t newest_step(const fs::path& folder) {
  const auto found = newest_checkpoint(folder);
  return found ? found->step : -1;
}

// Replaces a file of a checkpoint and makes the manifest agree: what no checksum can notice.
void forge(const fs::path& checkpoint, const std::string& name, const std::string& text) {
  write_file_atomic(checkpoint / name, text);
  Json manifest = parse_json(read_file(checkpoint / "manifest.json"), "manifest");
  manifest["xxh3"][name] = xxh3_hex(std::as_bytes(std::span(text)));
  write_file_atomic(checkpoint / "manifest.json", manifest.dump());
}

TEST(Checkpoint, RoundTripGoesOnAsIfNothingHadHappened) {
  TempFolder folder;
  Training a;
  const std::vector<float> reference = a.model.download_masters();
  for (uint64_t i = 0; i < 3; ++i) a.update(i);
  const Json state = {{"stage", 2}, {"next_example", 17}, {"ledger", {{"tokens", 1.5}}}};
  save_checkpoint(folder.path(), 3, a.trainer, reference, kCompanions, state);

  const auto found = newest_checkpoint(folder.path());
  ASSERT_TRUE(found);
  EXPECT_EQ(found->path, folder / "step-3");
  EXPECT_EQ(found->step, 3);
  EXPECT_EQ(found->state, state);
  EXPECT_EQ(folder.entries(), 1) << "temporary files are left";
  for (const auto& [name, text] : kCompanions.tokenizer)
    EXPECT_EQ(read_file(found->path / name), text);

  Training b(Training::load(found->path));
  EXPECT_TRUE(same_bits(load_trainer_state(*found, b.trainer), reference));
  EXPECT_TRUE(same_bits(b.model.download_masters(), a.model.download_masters()));
  EXPECT_TRUE(same_bits(b.moment1(), a.moment1()));
  EXPECT_TRUE(same_bits(b.moment2(), a.moment2()));
  EXPECT_EQ(b.trainer.updates(), 3);
  ASSERT_FALSE(same_bits(b.model.download_masters(), reference));

  a.update(9);
  b.update(9);
  EXPECT_TRUE(same_bits(b.model.download_masters(), a.model.download_masters()));
}

TEST(Checkpoint, WithoutAReferenceNoneComesBack) {
  TempFolder folder;
  Training a;
  save_checkpoint(folder.path(), 0, a.trainer, {}, {}, Json::object());
  const auto found = newest_checkpoint(folder.path());
  ASSERT_TRUE(found);
  EXPECT_TRUE(load_trainer_state(*found, a.trainer).empty());
}

TEST(Checkpoint, OneOfTheSameStepIsReplaced) {
  TempFolder folder;
  Training a;
  save_checkpoint(folder.path(), 5, a.trainer, {}, {}, {{"try", 1}});
  a.update(1);
  save_checkpoint(folder.path(), 5, a.trainer, {}, {}, {{"try", 2}});
  const auto found = newest_checkpoint(folder.path());
  ASSERT_TRUE(found);
  EXPECT_EQ(found->state["try"], 2);
  EXPECT_TRUE(
      same_bits(Training::load(found->path).download_masters(), a.model.download_masters()));
  EXPECT_EQ(folder.entries(), 1);
}

// Each file in turn, at its start, its middle and its end.
TEST(Checkpoint, AFlippedByteAnywhereMakesItAbsent) {
  TempFolder folder;
  Training a;
  save_checkpoint(folder.path(), 1, a.trainer, {}, kCompanions, Json::object());
  save_checkpoint(folder.path(), 2, a.trainer, {}, kCompanions, Json::object());
  const fs::path newer = folder / "step-2";
  int files = 0;
  for (const auto& entry : fs::directory_iterator(newer)) {
    if (entry.path().filename() == "manifest.json") continue;
    ++files;
    for (const uint64_t at : {uint64_t{0}, entry.file_size() / 2, entry.file_size() - 1}) {
      ASSERT_EQ(newest_step(folder.path()), 2);
      flip_byte(entry.path(), at);
      EXPECT_EQ(newest_step(folder.path()), 1) << entry.path() << " at " << at;
      flip_byte(entry.path(), at);
    }
  }
  EXPECT_EQ(files, 7);
}

TEST(Checkpoint, PartOfOneIsAsGoodAsNone) {
  TempFolder folder;
  Training a;
  save_checkpoint(folder.path(), 1, a.trainer, {}, {}, Json::object());
  auto damaged = [&](const std::function<void(const fs::path&)>& damage) {
    save_checkpoint(folder.path(), 2, a.trainer, {}, {}, Json::object());
    EXPECT_EQ(newest_step(folder.path()), 2);
    damage(folder / "step-2");
    return newest_step(folder.path());
  };
  EXPECT_EQ(damaged([](const fs::path& p) { fs::remove(p / "manifest.json"); }), 1);
  EXPECT_EQ(damaged([](const fs::path& p) { fs::remove(p / "model.safetensors"); }), 1);
  EXPECT_EQ(damaged([](const fs::path& p) { fs::remove(p / "trainer_state.json"); }), 1);
  EXPECT_EQ(damaged([](const fs::path& p) { fs::resize_file(p / "model.safetensors", 1000); }), 1);
  for (const char* manifest :
       {"", "{", "[]", "null", "{}", "{\"xxh3\": {}}", "{\"xxh3\": []}", "{\"xxh3\": [\"a\"]}",
        "{\"xxh3\": \"text\"}", "{\"xxh3\": {\"config.json\": 5}}",
        "{\"xxh3\": {\"../step-1/config.json\": \"00\"}}", "{\"xxh3\": {\"\": \"00\"}}"}) {
    EXPECT_EQ(damaged([&](const fs::path& p) { write_file_atomic(p / "manifest.json", manifest); }),
              1)
        << manifest;
  }
}

TEST(Checkpoint, OtherEntriesOfTheFolderAreNone) {
  TempFolder folder;
  EXPECT_EQ(newest_step(folder.path()), -1);
  EXPECT_EQ(newest_step(folder / "absent"), -1);
  Training a;
  save_checkpoint(folder.path(), 9, a.trainer, {}, {}, Json::object());
  save_checkpoint(folder.path(), 10, a.trainer, {}, {}, Json::object());  // "10" < "9" as text
  for (const char* name : {"writing-30.tmp", "step-30x", "step-", "step--40", "step-1e3",
                           "step-99999999999999999999", "copy of step-50"}) {
    fs::copy(folder / "step-9", folder / name);
  }
  write_file_atomic(folder / "step-77", "a file");
  EXPECT_EQ(newest_step(folder.path()), 10);
}

TEST(Checkpoint, AFullDiskLeavesTheOldOne) {
  TempFolder folder;
  Training a;
  save_checkpoint(folder.path(), 1, a.trainer, {}, {}, Json::object());
  {
    FileSizeLimit full(20000);
    EXPECT_THROW(save_checkpoint(folder.path(), 2, a.trainer, {}, {}, Json::object()), JobError);
    EXPECT_THROW(save_checkpoint(folder.path(), 1, a.trainer, {}, {}, Json::object()), JobError);
  }
  EXPECT_EQ(newest_step(folder.path()), 1);
  save_checkpoint(folder.path(), 2, a.trainer, {}, {}, Json::object());
  EXPECT_EQ(newest_step(folder.path()), 2);
}

TEST(Checkpoint, PruneKeepsTheNewest) {
  TempFolder folder;
  Training a;
  for (const int64_t step : {2, 9, 10, 30}) {
    save_checkpoint(folder.path(), step, a.trainer, {}, {}, Json::object());
  }
  write_file_atomic(folder / "notes.txt", "mine");
  prune_checkpoints(folder.path(), 7);
  EXPECT_EQ(folder.entries(), 5);
  prune_checkpoints(folder.path(), 2);
  EXPECT_EQ(folder.entries(), 3);
  EXPECT_TRUE(fs::exists(folder / "step-30") && fs::exists(folder / "step-10"));
  prune_checkpoints(folder.path(), 0);  // the last one stays
  EXPECT_EQ(newest_step(folder.path()), 30);
  EXPECT_EQ(folder.entries(), 2);
  EXPECT_EQ(read_file(folder / "notes.txt"), "mine");
}

TEST(Checkpoint, PruneSparesThoseThatAreNamed) {
  TempFolder folder;
  Training a;
  for (const int64_t step : {10, 20, 30, 40}) {
    save_checkpoint(folder.path(), step, a.trainer, {}, {}, Json{{"n", step}});
  }
  prune_checkpoints(folder.path(), 1, {10, 30, 99});
  EXPECT_FALSE(fs::exists(folder / "step-20"));
  EXPECT_EQ(folder.entries(), 3);
  EXPECT_EQ(checkpoint_at(folder.path(), 10).state["n"], 10);
  flip_byte(folder / "step-10" / "model.safetensors", 4000);
  EXPECT_THROW(checkpoint_at(folder.path(), 10), InputError);
  EXPECT_THROW(checkpoint_at(folder.path(), 20), InputError);
}

// A run whose newest checkpoint was damaged goes on from an older one, and saves steps below the
// damaged one's: those must not make room for it.
TEST(Checkpoint, PruneCountsWholeOnesAlone) {
  TempFolder folder;
  Training a;
  for (const int64_t step : {10, 20, 30}) {
    save_checkpoint(folder.path(), step, a.trainer, {}, {}, Json::object());
  }
  flip_byte(folder / "step-30" / "model.safetensors", 4000);
  save_checkpoint(folder.path(), 25, a.trainer, {}, {}, Json::object());
  prune_checkpoints(folder.path(), 1);
  EXPECT_EQ(newest_step(folder.path()), 25);
  EXPECT_FALSE(fs::exists(folder / "step-20"));
}

TEST(Checkpoint, HostileStateIsRefused) {
  TempFolder folder;
  Training a;
  save_checkpoint(folder.path(), 1, a.trainer, {}, {}, Json::object());
  const std::string deep = std::string(100000, '[') + std::string(100000, ']');
  for (const std::string& text : std::vector<std::string>{
           "", "{", "[]", "7", "null", "\"text\"", deep, "{}", "{\"updates\": \"3\"}",
           "{\"updates\": 1.5}", "{\"updates\": -1}", "{\"updates\": null}",
           "{\"updates\": 9223372036854775807}", "{\"updates\": 18446744073709551615}",
           "{\"updates\": 1e300}", "{\"updates\": [3]}"}) {
    forge(folder / "step-1", "trainer_state.json", text);
    a.trainer.set_updates(5);
    try {
      const auto found = newest_checkpoint(folder.path());
      ASSERT_TRUE(found) << text.substr(0, 60);
      load_trainer_state(*found, a.trainer);
      FAIL() << text.substr(0, 60) << " was taken";
    } catch (const InputError& e) {
      const std::string what = e.what();
      EXPECT_NE(what.find("trainer_state.json"), std::string::npos) << what;
      EXPECT_EQ(what.find('\n'), std::string::npos) << what;
    }
    EXPECT_EQ(a.trainer.updates(), 5);
  }
  forge(folder / "step-1", "trainer_state.json", "{\"updates\": 4, \"state\": [1, null]}");
  const auto found = newest_checkpoint(folder.path());
  ASSERT_TRUE(found);
  load_trainer_state(*found, a.trainer);
  EXPECT_EQ(a.trainer.updates(), 4);
}

TEST(Checkpoint, StateOfAnotherModelIsRefused) {
  TempFolder folder;
  Training a;
  save_checkpoint(folder.path(), 1, a.trainer, {}, {}, Json::object());
  const auto found = newest_checkpoint(folder.path());
  ASSERT_TRUE(found);
  Training other(tiny_model(Training::shared_ops(), tiny_config(65)));
  EXPECT_THROW(load_trainer_state(*found, other.trainer), InputError);
  // A reference of another size than the weights.
  save_checkpoint(folder.path(), 2, a.trainer, std::vector<float>(100, 1.0f), {}, Json::object());
  EXPECT_THROW(load_trainer_state(*newest_checkpoint(folder.path()), a.trainer), InputError);
  forge(folder / "step-2", "trainer_state.safetensors", "no tensors");
  EXPECT_THROW(load_trainer_state(*newest_checkpoint(folder.path()), a.trainer), InputError);
}

}  // namespace
}  // namespace r1
