// The one door to libtorch's operators: look up by name and overload, convert by schema, call boxed.
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/ivalue.h>
#include <ATen/core/jit_type.h>

#include <cmath>
#include <vector>

#include "checkpoint.h"
#include "handle.h"

namespace bantam {
namespace {

// Operators are resolved once; JavaScript then names them by their index here.
std::vector<c10::OperatorHandle>& operators() {
  static std::vector<c10::OperatorHandle> resolved;
  return resolved;
}

[[noreturn]] void fail(Napi::Env env, const c10::Argument& argument, const std::string& problem) {
  throw Napi::TypeError::New(env, "argument '" + argument.name() + "' (" + argument.type()->str() + ") " + problem);
}

int64_t to_int(const Napi::Value& value) {
  if (value.IsBigInt()) {
    bool lossless = false;
    return value.As<Napi::BigInt>().Int64Value(&lossless);
  }
  return value.As<Napi::Number>().Int64Value();
}

at::Scalar to_scalar(const Napi::Value& value) {
  if (value.IsBoolean()) return at::Scalar(value.As<Napi::Boolean>().Value());
  if (value.IsBigInt()) return at::Scalar(to_int(value));
  const double number = value.As<Napi::Number>().DoubleValue();
  // Whole numbers stay integers, so that integer tensors are not promoted to floating point.
  if (std::trunc(number) == number && std::abs(number) < 9007199254740992.0) {
    return at::Scalar(static_cast<int64_t>(number));
  }
  return at::Scalar(number);
}

c10::IValue to_ivalue(const Napi::Value& value, const c10::Type& type, const c10::Argument& argument);

template <typename Element, typename Convert>
c10::IValue to_list(const Napi::Array& array, Convert&& convert) {
  c10::List<Element> list;
  list.reserve(array.Length());
  for (uint32_t i = 0; i < array.Length(); ++i) list.push_back(convert(array.Get(i)));
  return list;
}

c10::IValue to_list_ivalue(const Napi::Value& value, const c10::Type& element, const c10::Argument& argument) {
  auto env = value.Env();
  if (!value.IsArray()) {
    // Schemas such as int[2] take a single number for all places.
    if (value.IsNumber() && element.kind() == c10::TypeKind::IntType && argument.N()) {
      return c10::List<int64_t>(c10::ArrayRef<int64_t>(std::vector<int64_t>(*argument.N(), to_int(value))));
    }
    fail(env, argument, "must be an array");
  }
  auto array = value.As<Napi::Array>();
  switch (element.kind()) {
    case c10::TypeKind::TensorType:
      return to_list<at::Tensor>(array, [](const Napi::Value& v) { return unwrap_tensor(v); });
    case c10::TypeKind::IntType:
    case c10::TypeKind::SymIntType:
      return to_list<int64_t>(array, [](const Napi::Value& v) { return to_int(v); });
    case c10::TypeKind::FloatType:
      return to_list<double>(array, [](const Napi::Value& v) { return v.As<Napi::Number>().DoubleValue(); });
    case c10::TypeKind::BoolType:
      return to_list<bool>(array, [](const Napi::Value& v) { return v.As<Napi::Boolean>().Value(); });
    case c10::TypeKind::OptionalType:
      return to_list<std::optional<at::Tensor>>(array, [](const Napi::Value& v) -> std::optional<at::Tensor> {
        if (v.IsNull() || v.IsUndefined()) return std::nullopt;
        return unwrap_tensor(v);
      });
    case c10::TypeKind::NumberType: {
      c10::impl::GenericList list(c10::NumberType::get());
      for (uint32_t i = 0; i < array.Length(); ++i) list.push_back(c10::IValue(to_scalar(array.Get(i))));
      return list;
    }
    default:
      fail(env, argument, "is a list of a kind that is not supported");
  }
}

c10::IValue to_ivalue(const Napi::Value& value, const c10::Type& type, const c10::Argument& argument) {
  auto env = value.Env();
  switch (type.kind()) {
    case c10::TypeKind::OptionalType:
      if (value.IsNull() || value.IsUndefined()) return {};
      return to_ivalue(value, *type.castRaw<c10::OptionalType>()->getElementType(), argument);
    case c10::TypeKind::TensorType:
      if (value.IsNull()) return at::Tensor();
      if (!value.IsExternal()) fail(env, argument, "must be a tensor");
      return unwrap_tensor(value);
    case c10::TypeKind::ListType:
      return to_list_ivalue(value, *type.castRaw<c10::ListType>()->getElementType(), argument);
    case c10::TypeKind::IntType:
    case c10::TypeKind::SymIntType:
      if (!value.IsNumber() && !value.IsBigInt()) fail(env, argument, "must be a whole number");
      return to_int(value);
    case c10::TypeKind::FloatType:
      if (!value.IsNumber()) fail(env, argument, "must be a number");
      return value.As<Napi::Number>().DoubleValue();
    case c10::TypeKind::BoolType:
      if (!value.IsBoolean()) fail(env, argument, "must be true or false");
      return value.As<Napi::Boolean>().Value();
    case c10::TypeKind::NumberType:
      if (!value.IsNumber() && !value.IsBigInt() && !value.IsBoolean()) fail(env, argument, "must be a number");
      return to_scalar(value);
    case c10::TypeKind::StringType:
      if (!value.IsString()) fail(env, argument, "must be a string");
      return value.As<Napi::String>().Utf8Value();
    case c10::TypeKind::DeviceObjType:
      if (!value.IsString()) fail(env, argument, "must be a device name");
      return c10::Device(value.As<Napi::String>().Utf8Value());
    case c10::TypeKind::GeneratorType: {
      auto generator = unwrap_generator(value);
      note_draw(generator);
      return generator;
    }
    default:
      fail(env, argument, "is of a kind that is not supported");
  }
}

Napi::Value from_ivalue(Napi::Env env, c10::IValue value) {
  if (value.isNone()) return env.Null();
  if (value.isTensor()) return wrap_tensor(env, std::move(value).toTensor());
  if (value.isInt()) return Napi::Number::New(env, static_cast<double>(value.toInt()));
  if (value.isDouble()) return Napi::Number::New(env, value.toDouble());
  if (value.isBool()) return Napi::Boolean::New(env, value.toBool());
  if (value.isScalar()) return Napi::Number::New(env, value.toScalar().toDouble());
  if (value.isString()) return Napi::String::New(env, value.toStringRef());
  if (value.isList()) {
    auto list = value.toListRef();
    auto result = Napi::Array::New(env, list.size());
    for (uint32_t i = 0; i < list.size(); ++i) result[i] = from_ivalue(env, list[i]);
    return result;
  }
  throw Napi::TypeError::New(env, "a result is of a kind that is not supported: " + value.tagKind());
}

const c10::OperatorHandle& operator_at(const Napi::CallbackInfo& info) {
  return operators().at(info[0].As<Napi::Number>().Uint32Value());
}

/// Converts the arguments (missing and undefined ones take the schema's defaults) and calls.
torch::jit::Stack run(const Napi::CallbackInfo& info, const c10::OperatorHandle& op) {
  auto env = info.Env();
  auto given = info[1].As<Napi::Array>();
  const auto& arguments = op.schema().arguments();
  if (given.Length() > arguments.size()) {
    throw Napi::TypeError::New(env, "takes " + std::to_string(arguments.size()) + " arguments, not " +
                                        std::to_string(given.Length()));
  }
  torch::jit::Stack stack;
  stack.reserve(arguments.size());
  for (uint32_t i = 0; i < arguments.size(); ++i) {
    const auto& argument = arguments[i];
    Napi::Value value = i < given.Length() ? given.Get(i) : env.Undefined();
    if (!value.IsUndefined()) {
      stack.push_back(to_ivalue(value, *argument.type(), argument));
    } else if (argument.default_value()) {
      stack.push_back(*argument.default_value());
    } else if (argument.type()->kind() == c10::TypeKind::OptionalType) {
      stack.emplace_back();
    } else {
      fail(env, argument, "is missing");
    }
  }
  op.callBoxed(stack);
  return stack;
}

template <typename Work>
auto named(const Napi::CallbackInfo& info, Work&& work) {
  const auto& op = operator_at(info);
  return guarded(info.Env(), op.schema().name().c_str(), [&] {
    try {
      return work(op);
    } catch (const Napi::Error& error) {
      throw Napi::Error::New(info.Env(), op.schema().name() + ": " + error.Message());
    }
  });
}

/// resolve(name, overload) → the operator's index for call() and callInPlace().
Napi::Value resolve(const Napi::CallbackInfo& info) {
  auto env = info.Env();
  auto name = info[0].As<Napi::String>().Utf8Value();
  auto overload = info[1].As<Napi::String>().Utf8Value();
  auto found = c10::Dispatcher::singleton().findSchema({name, overload});
  if (!found) {
    throw Napi::Error::New(env, "libtorch has no operator " + name + (overload.empty() ? "" : "." + overload));
  }
  operators().push_back(*found);
  return Napi::Number::New(env, static_cast<double>(operators().size() - 1));
}

/// call(operator, arguments) → the result, or an array where the operator has several.
Napi::Value call(const Napi::CallbackInfo& info) {
  return named(info, [&](const c10::OperatorHandle& op) -> Napi::Value {
    auto env = info.Env();
    auto results = run(info, op);
    if (results.empty()) return env.Undefined();
    if (results.size() == 1) return from_ivalue(env, std::move(results[0]));
    auto array = Napi::Array::New(env, results.size());
    for (uint32_t i = 0; i < results.size(); ++i) array[i] = from_ivalue(env, std::move(results[i]));
    return array;
  });
}

/// callInPlace(operator, arguments): the results are the arguments themselves and are dropped.
Napi::Value call_in_place(const Napi::CallbackInfo& info) {
  return named(info, [&](const c10::OperatorHandle& op) -> Napi::Value {
    run(info, op);
    return info.Env().Undefined();
  });
}

Napi::Value schema(const Napi::CallbackInfo& info) {
  std::ostringstream text;
  text << operator_at(info).schema();
  return Napi::String::New(info.Env(), text.str());
}

}  // namespace

void init_dispatch(Napi::Env env, Napi::Object exports) {
  exports["resolve"] = Napi::Function::New(env, resolve);
  exports["call"] = Napi::Function::New(env, call);
  exports["callInPlace"] = Napi::Function::New(env, call_in_place);
  exports["schema"] = Napi::Function::New(env, schema);
}

}  // namespace bantam
