// bantam::pack_rows and bantam::unpack_rows: sequences of a batch one behind the other, without the
// padding that makes them equally long, and back. Each is the other's backward pass.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <algorithm>
#include <cstring>

namespace bantam::ragged {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

at::Tensor pack_rows(const at::Tensor& x, at::IntArrayRef starts);
at::Tensor unpack_rows(const at::Tensor& x, at::IntArrayRef starts, int64_t length);

void check(const at::Tensor& x, at::IntArrayRef starts, int64_t length) {
  TORCH_CHECK(x.device().is_cpu(), "rows are packed and unpacked on the CPU alone");
  TORCH_CHECK(starts.size() >= 2 && starts.front() == 0, "starts of sequences begin with 0 and end with their total");
  for (size_t i = 1; i < starts.size(); ++i) {
    const int64_t own = starts[i] - starts[i - 1];
    TORCH_CHECK(own >= 0 && own <= length, "a sequence of ", own, " rows does not fit a length of ", length);
  }
}

/// One sequence after the other: copy(sequence, its first row, its rows).
template <typename Copy>
void for_sequences(at::IntArrayRef starts, Copy&& copy) {
  at::parallel_for(0, static_cast<int64_t>(starts.size()) - 1, 8, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) copy(i, starts[i], starts[i + 1] - starts[i]);
  });
}

at::Tensor pack(const at::Tensor& given, at::IntArrayRef starts) {
  const auto x = given.contiguous();
  auto shape = x.sizes().slice(1).vec();
  shape[0] = starts.back();
  auto packed = at::empty(shape, x.options());
  if (packed.numel() == 0) return packed;
  const int64_t length = x.size(1), bytes = x.stride(1) * static_cast<int64_t>(x.element_size());
  const auto* from = static_cast<const char*>(x.const_data_ptr());
  auto* to = static_cast<char*>(packed.mutable_data_ptr());
  for_sequences(starts, [&](int64_t i, int64_t first, int64_t rows) {
    std::memcpy(to + first * bytes, from + i * length * bytes, rows * bytes);
  });
  return packed;
}

at::Tensor unpack(const at::Tensor& given, at::IntArrayRef starts, int64_t length) {
  const auto x = given.contiguous();
  auto shape = x.sizes().vec();
  shape[0] = length;
  shape.insert(shape.begin(), static_cast<int64_t>(starts.size()) - 1);
  auto unpacked = at::empty(shape, x.options());
  if (unpacked.numel() == 0) return unpacked;
  const int64_t bytes = unpacked.stride(1) * static_cast<int64_t>(x.element_size());
  const auto* from = static_cast<const char*>(x.const_data_ptr());
  auto* to = static_cast<char*>(unpacked.mutable_data_ptr());
  for_sequences(starts, [&](int64_t i, int64_t first, int64_t rows) {
    auto* sequence = to + i * length * bytes;
    std::memcpy(sequence, from + first * bytes, rows * bytes);
    std::memset(sequence + rows * bytes, 0, (length - rows) * bytes);
  });
  return unpacked;
}

struct Pack : torch::autograd::Function<Pack> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, std::vector<int64_t> starts) {
    at::AutoDispatchBelowADInplaceOrView below;
    context->saved_data["length"] = x.size(1);
    auto packed = pack(x, starts);
    context->saved_data["starts"] = std::move(starts);
    return packed;
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto starts = context->saved_data["starts"].toIntVector();
    return {unpack_rows(gradients[0], starts, context->saved_data["length"].toInt()), {}};
  }
};

struct Unpack : torch::autograd::Function<Unpack> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, std::vector<int64_t> starts,
                            int64_t length) {
    at::AutoDispatchBelowADInplaceOrView below;
    auto unpacked = unpack(x, starts, length);
    context->saved_data["starts"] = std::move(starts);
    return unpacked;
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    return {pack_rows(gradients[0], context->saved_data["starts"].toIntVector()), {}, {}};
  }
};

/// [B, L, *] → [T, *]: of sequence i the first starts[i + 1] − starts[i] rows.
at::Tensor pack_rows(const at::Tensor& x, at::IntArrayRef starts) {
  TORCH_CHECK(x.dim() >= 2 && x.size(0) + 1 == static_cast<int64_t>(starts.size()),
              "rows are packed from [sequences, length, *] with one start for each sequence and one for the end");
  check(x, starts, x.size(1));
  return Pack::apply(x, starts.vec());
}

/// [T, *] → [B, length, *], zero behind each sequence.
at::Tensor unpack_rows(const at::Tensor& x, at::IntArrayRef starts, int64_t length) {
  check(x, starts, length);
  TORCH_CHECK(x.dim() >= 1 && x.size(0) == starts.back(), "sequences of ", starts.back(), " rows were given ",
              x.dim() >= 1 ? x.size(0) : 0);
  return Unpack::apply(x, starts.vec(), length);
}

}  // namespace
}  // namespace bantam::ragged

TORCH_LIBRARY_FRAGMENT(bantam, library) {
  library.def("pack_rows(Tensor x, int[] starts) -> Tensor", bantam::ragged::pack_rows);
  library.def("unpack_rows(Tensor x, int[] starts, int length) -> Tensor", bantam::ragged::unpack_rows);
}
