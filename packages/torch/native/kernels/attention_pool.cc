// bantam::attention_pool: attention pooling of a map for inference (Radford et al. 2021, section 2.4), whose
// mean is the only query. q·(W_k·x + b_k) = (W_kᵀ·q)·x + q·b_k, and Σa·(W_v·x + b_v) = W_v·Σa·x + b_v, so that
// no location needs a projection; q·b_k is the same for all of them, and softmax ignores it. What is left is
// reading three weights from memory: in panels, by heads, on all threads at once.
#include <ATen/ATen.h>
#include <ATen/EmptyTensor.h>
#include <torch/library.h>

#include <algorithm>
#include <vector>

#include "panel_layers.h"
#include "softmax_row.h"
#include "team.h"

namespace bantam::attention_pool {
namespace {

using at::Tensor;
using OptionalTensor = std::optional<Tensor>;

/// Numbers whose sums are independent of each other; widths are multiples.
constexpr int64_t kLanes = 64;
/// Samples that read a head's weights one after the other.
constexpr int64_t kSamples = 16;

BANTAM_INLINE float read(float value) { return value; }
BANTAM_INLINE float read(uint16_t bits) { return from_bfloat16(bits); }
BANTAM_INLINE void write(float* target, float value) { *target = value; }
BANTAM_INLINE void write(uint16_t* target, float value) { *target = to_bfloat16(value); }

/// x = the mean and all locations of a map [locations, width], each plus its position; the mean once more.
template <typename Number>
void add_positions(const Number* map, const float* positions, int64_t locations, int64_t width, float* x,
                   Number* mean) {
  vectorized([=]() BANTAM_INLINED {
    for (int64_t c = 0; c < width; ++c) x[c] = read(map[c]);
    for (int64_t l = 1; l < locations; ++l) {
      for (int64_t c = 0; c < width; ++c) x[c] += read(map[l * width + c]);
    }
    for (int64_t c = 0; c < width; ++c) {
      x[c] = x[c] / static_cast<float>(locations) + positions[c];
      write(mean + c, x[c]);
    }
    for (int64_t i = 0; i < locations * width; ++i) x[width + i] = read(map[i]) + positions[width + i];
  });
}

/// softmax(scale·asked·xᵀ)·x for one head of one sample.
template <typename Number>
void attend(const Number* asked, const float* x, int64_t length, int64_t width, float scale, float* scores,
            Number* seen) {
  const int64_t padded = (length + kSoftmaxLanes - 1) / kSoftmaxLanes * kSoftmaxLanes;
  vectorized([=]() BANTAM_INLINED {
    for (int64_t l = 0; l < length; ++l) {
      const float* row = x + l * width;
      float lanes[kLanes] = {};
      for (int64_t c = 0; c < width; c += kLanes) {
        for (int64_t i = 0; i < kLanes; ++i) lanes[i] += read(asked[c + i]) * row[c + i];
      }
      float sum = 0;
      for (int64_t i = 0; i < kLanes; ++i) sum += lanes[i];
      scores[l] = sum * scale;
    }
    softmax_row(scores, length, padded);
    for (int64_t c = 0; c < width; c += kLanes) {
      float lanes[kLanes] = {};
      for (int64_t l = 0; l < length; ++l) {
        const float weight = scores[l];
        for (int64_t i = 0; i < kLanes; ++i) lanes[i] += weight * x[l * width + c + i];
      }
      for (int64_t i = 0; i < kLanes; ++i) write(seen + c + i, lanes[i]);
    }
  });
}

template <typename Number>
struct Pool {
  int64_t batch, length, width, heads, depth;
  const float* x;    // [batch, length, width]
  const Number* q;   // [batch, width]
  const Number* k;   // of each head the panels of W_kᵀ [width, depth]
  const Number* v;   // of each head the panels of W_v [depth, width]
  const float* bias;  // [width], or none
  Number* y;         // [batch, width]
};

/// Memory of a thread, kept from call to call.
template <typename Number>
struct Scratch {
  std::vector<Number> asked, seen;
  std::vector<float> scores;
  std::vector<const Number*> rows;
};

/// One head of some samples.
template <typename Number>
void pool_head(const Pool<Number>& p, int64_t head, int64_t first, int64_t count) {
  thread_local Scratch<Number> scratch;
  const auto numbers = static_cast<size_t>(count * p.width);
  scratch.asked.resize(numbers);
  scratch.seen.resize(numbers);
  scratch.scores.resize(static_cast<size_t>(p.length + kSoftmaxLanes));
  scratch.rows.resize(static_cast<size_t>(count));
  panels::ProductOf<Number> product;
  product.rows = count;
  product.sources = scratch.rows.data();
  for (int64_t i = 0; i < count; ++i) scratch.rows[i] = p.q + (first + i) * p.width + head * p.depth;
  product.outputs = product.stride = p.width;
  product.depth = p.depth;
  product.depths = &product.depth;
  product.weight = p.k + head * p.depth * p.width;
  product.y = scratch.asked.data();
  panels::multiply_here(product);
  const float scale = 1 / std::sqrt(static_cast<float>(p.depth));
  for (int64_t i = 0; i < count; ++i) {
    attend(scratch.asked.data() + i * p.width, p.x + (first + i) * p.length * p.width, p.length, p.width, scale,
           scratch.scores.data(), scratch.seen.data() + i * p.width);
    scratch.rows[i] = scratch.seen.data() + i * p.width;
  }
  product.outputs = p.depth;
  product.depth = p.width;
  product.weight = p.v + head * p.depth * p.width;
  product.bias = p.bias == nullptr ? nullptr : p.bias + head * p.depth;
  product.y = p.y + first * p.width + head * p.depth;
  product.stride = p.width;
  panels::multiply_here(product);
}

template <typename Number>
void pool_all(const Pool<Number>& pool) {
  const int64_t blocks = (pool.batch + kSamples - 1) / kSamples;
  struct Context {
    const Pool<Number>& pool;
  } context{pool};
  run_tasks(blocks * pool.heads, [](void* given, int64_t task) {
    const auto& p = static_cast<const Context*>(given)->pool;
    const int64_t first = task / p.heads * kSamples;
    pool_head(p, task % p.heads, first, std::min(kSamples, p.batch - first));
  }, &context);
}

Tensor wide(const Tensor& x) { return (x.scalar_type() == at::kFloat ? x : x.to(at::kFloat)).contiguous(); }

OptionalTensor bias_of(const OptionalTensor& bias, int64_t width) {
  if (!bias) return std::nullopt;
  TORCH_CHECK(bias->is_cpu() && bias->numel() == width, "a bias of the attention pooling has ", width, " numbers");
  return wide(*bias);
}

Tensor attention_pool(const Tensor& given, const Tensor& given_positions, const Tensor& q_weight,
                      const OptionalTensor& q_bias, const Tensor& k_weight, const Tensor& v_weight,
                      const OptionalTensor& v_bias, int64_t heads) {
  const at::NoGradGuard no_grad;
  const c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::autocast_dispatch_keyset);
  TORCH_CHECK(given.is_cpu() && given.dim() == 3, "an attention pooling takes locations [B, L, W] on the CPU");
  const int64_t batch = given.size(0), locations = given.size(1), width = given.size(2), length = locations + 1;
  TORCH_CHECK(heads >= 1 && width >= 1 && width % kLanes == 0 && width % heads == 0 && locations >= 1,
              "an attention pooling of ", heads, " heads takes at least one location whose width they divide, and "
              "which is a multiple of ", kLanes, ", not ", locations, " of ", width);
  TORCH_CHECK(given_positions.is_cpu() && given_positions.dim() == 2 && given_positions.size(0) == length &&
                  given_positions.size(1) == width,
              "an attention pooling of ", locations, " locations has ", length, " positions of ", width, " numbers");
  const int64_t depth = width / heads;
  const auto type = q_weight.scalar_type();
  TORCH_CHECK(k_weight.scalar_type() == type && v_weight.scalar_type() == type,
              "the weights of an attention pooling are of one type");
  TORCH_CHECK(panels::outputs_of(q_weight, width, width) == width && panels::outputs_of(v_weight, width, width) == width &&
                  panels::outputs_of(k_weight, depth, depth) == heads * width && depth % panels::shape().lanes == 0,
              "the weights of an attention pooling are panels of matrices of its width");
  const auto bias = bias_of(v_bias, width), query_bias = bias_of(q_bias, width);
  const auto positions = wide(given_positions);
  const auto map = (given.scalar_type() == type ? given : given.to(type)).contiguous();
  const Tensor x = at::detail::empty_cpu({batch, length, width}, at::kFloat);
  const Tensor means = at::detail::empty_cpu({batch, width}, type), y = at::detail::empty_cpu({batch, width}, type);
  Tensor q = at::detail::empty_cpu({batch, width}, type);
  if (batch == 0) return y;
  const auto run = [&]<typename Number>(Number) {
    const auto numbers = [](const Tensor& tensor) { return static_cast<const Number*>(tensor.const_data_ptr()); };
    auto* const mean = static_cast<Number*>(means.mutable_data_ptr());
    auto* const rows = x.mutable_data_ptr<float>();
    for_rows(batch, length * width / 4, [&](int64_t first, int64_t count) {
      for (int64_t i = first; i < first + count; ++i) {
        add_positions(numbers(map) + i * locations * width, positions.const_data_ptr<float>(), locations, width,
                      rows + i * length * width, mean + i * width);
      }
    });
    panels::linear_into(means, q_weight, query_bias, {}, q);
    pool_all(Pool<Number>{batch, length, width, heads, depth, rows, numbers(q), numbers(k_weight), numbers(v_weight),
                          bias ? bias->const_data_ptr<float>() : nullptr, static_cast<Number*>(y.mutable_data_ptr())});
  };
  if (type == at::kFloat) {
    run(float{});
  } else {
    run(uint16_t{});
  }
  return y;
}

}  // namespace
}  // namespace bantam::attention_pool

TORCH_LIBRARY_FRAGMENT(bantam, library) {
  library.def(
      "attention_pool(Tensor tokens, Tensor positions, Tensor q_weight, Tensor? q_bias, Tensor k_weight, "
      "Tensor v_weight, Tensor? v_bias, int heads) -> Tensor",
      bantam::attention_pool::attention_pool);
}
