#include "bench_growth.h"

#include <cstdio>

#include "base/json.h"

namespace r1 {
namespace {

constexpr double kGiga = 1e9;

void print_part(const std::string& name, double bytes) {
  std::printf("  %-36s %10.3f GB\n", name.c_str(), bytes / kGiga);
}

void print_parts(const std::string& title, const std::vector<MemoryPart>& parts, bool json) {
  double total = 0;
  OrderedJson list = OrderedJson::object();
  if (!json) std::printf("memory, %s\n", title.c_str());
  for (const MemoryPart& part : parts) {
    total += part.bytes;
    list[part.name] = part.bytes;
    if (!json) print_part(part.name, part.bytes);
  }
  if (json) {
    const OrderedJson row = {{"memory", title}, {"parts", list}, {"bytes", total}};
    std::printf("%s\n", row.dump().c_str());
  } else {
    print_part("together", total);
  }
}

void print_time(const std::string& test, const PassCost& cost, const Roof& roof, DType dtype,
                bool json) {
  const PassTime t = predict(cost, roof, dtype);
  const double rate = static_cast<double>(cost.rows) / t.seconds();
  if (json) {
    const OrderedJson row = {{"test", test},
                             {"tokens_per_second", rate},
                             {"seconds", t.seconds()},
                             {"compute_seconds", t.compute},
                             {"read_seconds", t.read},
                             {"attention_seconds", t.attention},
                             {"update_seconds", t.update},
                             {"bound", t.bound()}};
    std::printf("%s\n", row.dump().c_str());
    return;
  }
  std::printf("%-26s %10.4g %11.4g %10.4g %10.4g %10.4g %10.4g  %s\n", test.c_str(), rate,
              1e3 * t.seconds(), 1e3 * t.compute, 1e3 * t.read, 1e3 * t.attention, 1e3 * t.update,
              t.bound());
}

}  // namespace

void print_estimate(const ModelConfig& c, DType dtype, const BenchTests& tests, const Roof& roof,
                    bool json) {
  const double weights = pass_weight_bytes(c, dtype, int64_t{1} << 30);
  if (!json) {
    std::printf("%.4g parameters, %.4g of them active; %d cores: %.4g GFLOP/s of products, ",
                static_cast<double>(c.parameters()), static_cast<double>(c.active_parameters()),
                roof.threads, roof.peak(dtype) / kGiga);
    std::printf("%.4g of float32; reading %.4g GB/s\n", roof.f32 / kGiga, roof.read / kGiga);
    std::printf("%-26s %10s %11s %10s %10s %10s %10s  %s\n", "predicted", "tokens/s", "a pass, ms",
                "compute", "read", "attention", "update", "bound by");
  }
  const auto show = [&](const std::string& test, const PassCost& cost) {
    print_time(test, cost, roof, dtype, json);
  };
  if (tests.prefill > 0) {
    show("prefill " + std::to_string(tests.prefill), prefill_cost(c, weights, tests.prefill));
  }
  const double context = static_cast<double>(tests.depth) + static_cast<double>(tests.decode) / 2;
  if (tests.decode > 0) {
    show("decode at " + std::to_string(tests.depth), decode_cost(c, weights, context));
  }
  for (const int64_t n : tests.groups) {
    show("group of " + std::to_string(n), group_cost(c, weights, n, 64, 32));
  }
  const std::string train = "train " + std::to_string(tests.train);
  for (const bool recompute : {false, true}) {
    if (tests.train == 0) break;
    show(train + (recompute ? ", recomputing" : ""),
         training_cost(c, dtype, tests.train, tests.train_length, recompute));
  }
  const int64_t positions = std::max<int64_t>(1, tests.depth + tests.decode);
  print_parts("a context of " + std::to_string(positions) + " tokens",
              inference_memory(c, dtype, positions), json);
  for (const bool recompute : {false, true}) {
    if (tests.train == 0) break;
    print_parts(train + (recompute ? ", recomputing" : ""),
                training_memory(c, dtype, tests.train, recompute), json);
  }
}

void print_memory(const MemoryTable& table, bool json) {
  if (!json) {
    std::printf("%s\n  %-36s %13s %13s %7s\n", table.title.c_str(), "", "demanded", "held",
                "ratio");
  }
  const auto show = [&](const std::string& name, double demanded, std::optional<double> held) {
    if (json) {
      OrderedJson row = {{"memory", table.title}, {"part", name}, {"demanded", demanded}};
      row["held"] = held ? OrderedJson(*held) : OrderedJson();
      std::printf("%s\n", row.dump().c_str());
    } else if (held) {
      std::printf("  %-36s %10.3f MB %10.3f MB %7.3f\n", name.c_str(), demanded / 1e6, *held / 1e6,
                  *held / demanded);
    } else {
      std::printf("  %-36s %10.3f MB %13s\n", name.c_str(), demanded / 1e6, "(in a call)");
    }
  };
  for (const MemoryRow& row : table.rows) show(row.name, row.demanded, row.held);
  show("together; the process's growth", table.demanded, table.resident);
}

}  // namespace r1
