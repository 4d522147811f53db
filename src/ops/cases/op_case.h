// The table of operation cases: shapes × dtypes, each run on a device's operations and on the
// reference. One table for the tests and for `fastchat doctor`.
#pragma once

#include "ops/ops.h"

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace fastchat::ops::cases {

/// Values in [-magnitude, magnitude) from an integer hash of seed and index: the same on every
/// machine.
std::vector<float> random_values(std::uint64_t seed, std::int64_t count, float magnitude = 1.0f);

/// One side of a case: operations, and memory of their device that lives as long as the rig. Single
/// thread.
class Rig {
 public:
  explicit Rig(Ops& ops) : Rig(ops, ops.traits()) {}
  /// As a case is put to operations with `traits`.
  Rig(Ops& ops, const OpsTraits& traits);
  ~Rig();
  Rig(const Rig&) = delete;
  Rig& operator=(const Rig&) = delete;

  Ops& ops() { return ops_; }
  Stream& stream() { return *stream_; }
  const OpsTraits& traits() const { return traits_; }

  /// Rounds `values` to `dtype`.
  TensorView upload(std::span<const float> values,
                    DType dtype,
                    std::initializer_list<std::int64_t> shape);
  TensorView upload(std::span<const std::int32_t> values);
  /// Memory that holds NaN, or -1, until something writes it.
  TensorView blank(DType dtype, std::initializer_list<std::int64_t> shape);
  /// A layer's KV, all NaN: what is not written must not be used.
  KvLayer blank_kv(const KvSpec& spec, std::int64_t num_blocks);
  /// A weight [out, in] from the rows of as many slices as there are in `rows_per_slice`, whose
  /// rows lie 3 elements further apart than they are long.
  const PackedLinear& pack(std::span<const float> values,
                           DType source_dtype,
                           std::initializer_list<std::int64_t> rows_per_slice,
                           std::int64_t columns,
                           LinearFormat format);
  /// The same of a slice of i8 numbers with scales of their own, then one of f32, both random.
  const PackedLinear& pack_beside_int8(std::uint64_t seed,
                                       const std::int64_t (&rows_per_slice)[2],
                                       std::int64_t columns,
                                       LinearFormat format);

  /// Waits for the stream. Any dtype, as f32 (ids stay below 2^24).
  std::vector<float> download(const TensorView& view);

 private:
  Ops& ops_;
  const OpsTraits traits_;
  std::unique_ptr<Stream> stream_;
  std::vector<Buffer> buffers_;
  std::vector<std::unique_ptr<PackedLinear>> packed_;
};

struct OpCase {
  std::string op;
  std::string name;
  DType dtype = DType::f32;
  /// Largest difference allowed, relative to the larger of the reference's value and the root mean
  /// square of all.
  double tolerance = 0.0;
  std::function<std::vector<float>(Rig&)> run;
};

/// What rounding explains: one step of the output's dtype, as the exact value may lie at the edge
/// between two; and, for sums of `length` terms, the random walk of roundings in f32, whose
/// deviation is about eps * sqrt(length) / 3 of the result's own deviation — a dozen times that.
double tolerance(DType dtype, std::int64_t length);

std::vector<OpCase> linear_cases();
std::vector<OpCase> norm_cases();
std::vector<OpCase> elementwise_cases();
std::vector<OpCase> attention_cases();
std::vector<OpCase> sample_cases();
std::vector<OpCase> all_cases();

enum class Outcome : std::uint8_t { passed, failed, unsupported };

struct CaseResult {
  Outcome outcome = Outcome::passed;
  double error = 0.0;   // as tolerance is measured
  std::string message;  // of a failure: which element, what was expected, what came
};

/// What the reference says, of the case as operations with `traits` are put to it.
std::vector<float> expected_of(const OpCase& op_case, Ops& reference, const OpsTraits& traits);
/// Runs a case and compares. A failing device call is a failed case.
CaseResult run_case(const OpCase& op_case, Ops& ops, std::span<const float> expected);

/// One line per operation, a column per dtype: passed and failed cases, or that it is unsupported.
class Matrix {
 public:
  void add(const OpCase& op_case, const CaseResult& result);
  std::string to_text() const;

 private:
  struct Cell {
    int passed = 0;
    int failed = 0;
    int unsupported = 0;
    double worst = 0.0;  // error / tolerance
  };
  struct Row {
    std::string op;
    Cell cells[3];
  };
  std::vector<Row> rows_;
};

}  // namespace fastchat::ops::cases
