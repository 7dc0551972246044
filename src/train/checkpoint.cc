#include "train/checkpoint.h"

#include <vector>

#include "base/error.h"
#include "base/files.h"
#include "io/safetensors.h"

namespace r1 {
namespace {

namespace fs = std::filesystem;

TensorOut flat_tensor(const char* name, std::span<const float> values) {
  TensorOut out;
  out.name = name;
  out.shape = {static_cast<int64_t>(values.size())};
  out.bytes = std::as_bytes(values);
  return out;
}

}  // namespace

void save_checkpoint(const fs::path& folder, int64_t step, Trainer& trainer,
                     std::span<const float> reference, const ModelCompanions& companions,
                     const Json& state) {
  write_checkpoint(folder, step, [&](const fs::path& temporary) {
    save_model(temporary, trainer.model(), companions);
    const HostView moment1(trainer.ops(), trainer.moment1());
    const HostView moment2(trainer.ops(), trainer.moment2());
    std::vector<TensorOut> tensors = {flat_tensor("moment1", moment1.floats()),
                                      flat_tensor("moment2", moment2.floats())};
    if (!reference.empty()) tensors.push_back(flat_tensor("reference", reference));
    write_safetensors(temporary / "trainer_state.safetensors", tensors, {});
    const Json all = {{"updates", trainer.updates()}, {"step", step}, {"state", state}};
    write_file_atomic(temporary / "trainer_state.json", all.dump(2) + "\n");
  });
}

std::vector<float> load_trainer_state(const CheckpointInfo& checkpoint, Trainer& trainer) {
  const auto path = checkpoint.path / "trainer_state.safetensors";
  const SafeTensors file = SafeTensors::open(path);
  auto restore = [&](const char* name, std::span<float> values) {
    const TensorInfo* t = file.find(name);
    if (!t || t->dtype != DType::kF32 || t->bytes.size() != values.size_bytes()) {
      throw InputError(path.string() + ": tensor '" + name + "' must hold " +
                       std::to_string(values.size()) + " float32 values for this model");
    }
    copy_to_f32(*t, values.data());
  };
  std::vector<float> values(trainer.moment1().size());
  const auto restore_to = [&](const char* name, std::span<float> moment) {
    restore(name, values);
    trainer.ops().upload(values.data(), moment.data(), moment.size_bytes());
  };
  restore_to("moment1", trainer.moment1());
  restore_to("moment2", trainer.moment2());
  // Updates are counted in double for AdamW's bias: 2^53 is as far as that is exact. A negative
  // number reads as a larger one.
  const Json updates = read_trainer_state(checkpoint.path).value("updates", Json());
  if (!updates.is_number_integer() || updates.get<uint64_t>() > uint64_t{1} << 53) {
    throw InputError((checkpoint.path / "trainer_state.json").string() +
                     ": field 'updates' must be a whole number from 0 to 2^53, not " +
                     in_quotes(updates.dump()));
  }
  trainer.set_updates(updates.get<int64_t>());
  std::vector<float> reference;
  if (file.find("reference")) {
    reference.resize(trainer.model().masters().size());
    restore("reference", reference);
  }
  return reference;
}

}  // namespace r1
