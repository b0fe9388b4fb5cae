#include "attention_panels.h"

#include <ATen/EmptyTensor.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "panel_layers.h"
#include "softmax_row.h"
#include "team.h"

namespace bantam::attention_panels {
namespace {

constexpr int64_t kLanes = kSoftmaxLanes;
/// Tokens up to which the scores of a head stay in the caches.
constexpr int64_t kMostTokens = 512;

/// One head of one sequence.
struct Head {
  const float* q;  // [length] rows with `stride` elements from one to the next; k and v follow q
  int64_t stride, width, length, depth;
  bool causal;
  float* out;  // [length] rows of `width`
};

/// Memory of a thread, kept from call to call.
struct Scratch {
  std::vector<float> keys, values, scores;
  std::vector<const float*> rows;
};

/// Copies columns of `count` rows of `depth` elements into panels [depth, columns]: the rows become outputs.
void pack_keys(const float* k, int64_t stride, int64_t count, int64_t padded, int64_t depth, float scale, float* to) {
  const int64_t width = panels::shape().width;
  for (int64_t first = 0; first < padded; first += width) {
    const int64_t columns = std::min(width, padded - first);
    for (int64_t column = 0; column < columns; ++column) {
      const int64_t row = first + column;
      const float* from = k + row * stride;
      for (int64_t d = 0; d < depth; ++d) to[d * columns + column] = row < count ? from[d] * scale : 0.0f;
    }
    to += depth * columns;
  }
}

/// Copies rows into panels [count, columns of depth].
void pack_values(const float* v, int64_t stride, int64_t count, int64_t depth, float* to) {
  const int64_t width = panels::shape().width;
  for (int64_t first = 0; first < depth; first += width) {
    const int64_t columns = std::min(width, depth - first);
    for (int64_t row = 0; row < count; ++row, to += columns) {
      const float* from = v + row * stride + first;
      std::copy(from, from + columns, to);
    }
  }
}

void attend(const Head& head, Scratch& scratch) {
  const int64_t length = head.length, depth = head.depth, padded = (length + kLanes - 1) / kLanes * kLanes;
  const float scale = 1 / std::sqrt(static_cast<float>(depth));
  scratch.keys.resize(static_cast<size_t>(padded * depth));
  scratch.values.resize(static_cast<size_t>(length * depth));
  scratch.scores.resize(static_cast<size_t>(length * padded));
  scratch.rows.resize(static_cast<size_t>(length));
  pack_keys(head.q + head.width, head.stride, length, padded, depth, scale, scratch.keys.data());
  pack_values(head.q + 2 * head.width, head.stride, length, depth, scratch.values.data());
  panels::Product product;
  product.rows = length;
  product.sources = scratch.rows.data();
  for (int64_t row = 0; row < length; ++row) scratch.rows[row] = head.q + row * head.stride;
  product.outputs = padded;
  product.depth = depth;
  product.depths = &product.depth;
  product.weight = scratch.keys.data();
  product.y = scratch.scores.data();
  product.stride = padded;
  panels::multiply_here(product);
  float* const scores = scratch.scores.data();
  vectorized([scores, length, padded, causal = head.causal]() BANTAM_INLINED {
    for (int64_t row = 0; row < length; ++row) {
      softmax_row(scores + row * padded, causal ? row + 1 : length, padded);
    }
  });
  for (int64_t row = 0; row < length; ++row) scratch.rows[row] = scores + row * padded;
  product.outputs = depth;
  product.depth = length;
  product.weight = scratch.values.data();
  product.y = head.out;
  product.stride = head.width;
  panels::multiply_here(product);
}

}  // namespace

bool applies(const at::Tensor& qkv, int64_t heads) {
  return panels::shape().lanes > 0 && qkv.device().is_cpu() && qkv.scalar_type() == at::kFloat && qkv.dim() == 3 &&
         qkv.is_contiguous() && qkv.numel() > 0 && qkv.size(1) <= kMostTokens &&
         qkv.size(2) % (3 * heads * kLanes) == 0 && !(at::GradMode::is_enabled() && qkv.requires_grad());
}

at::Tensor attention(const at::Tensor& qkv, int64_t heads, bool causal) {
  const at::NoGradGuard no_grad;
  const c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::autocast_dispatch_keyset);
  const int64_t batch = qkv.size(0), length = qkv.size(1), width = qkv.size(2) / 3, depth = width / heads;
  const at::Tensor out = at::detail::empty_cpu({batch, length, width}, at::kFloat);
  const float* from = qkv.const_data_ptr<float>();
  float* to = out.mutable_data_ptr<float>();
  constexpr int64_t kPerNanosecond = 20;
  for_rows(batch * heads, 2 * length * length * depth / kPerNanosecond, [&](int64_t first, int64_t count) {
    thread_local Scratch scratch;
    for (int64_t task = first; task < first + count; ++task) {
      const int64_t row = task / heads * length, column = task % heads * depth;
      attend({from + row * 3 * width + column, 3 * width, width, length, depth, causal, to + row * width + column},
             scratch);
    }
  });
  return out;
}

}  // namespace bantam::attention_panels
