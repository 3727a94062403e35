#include "graph/function.hpp"

#include "base/bytes.hpp"
#include "base/checksum.hpp"
#include "base/copy.hpp"

#include <mmsb/error.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <type_traits>

namespace mmsb::graph {

namespace {

using Parents = std::span<const std::span<const std::byte>>;

void require(const Call& call, bool fits, const char* what, std::size_t expected,
             std::size_t found) {
    if (fits) return;
    throw InvalidArgument(
        ErrorCode::invalid_argument, std::string(what),
        {.page = call.page, .expected = std::to_string(expected), .found = std::to_string(found)});
}
void require_parents(const Call& call, std::size_t expected) {
    require(call, call.parents.size() == expected, "a formula of another number of parents",
            expected, call.parents.size());
}
void require_size(const Call& call, std::size_t expected) {
    require(call, call.out.size() == expected, "a page whose size its formula does not give",
            expected, call.out.size());
}

// What has changed of [from, from + to.size()) of a parent, to its place: the rest is there.
void copy_changed(std::span<const std::byte> parent, std::span<const ByteRange> changed,
                  std::size_t from, std::span<std::byte> to) {
    for (const auto& [offset, size] : changed) {
        const auto begin = std::max(offset, from), end = std::min(offset + size, from + to.size());
        if (begin < end) base::copy(parent.subspan(begin, end - begin), to.data() + (begin - from));
    }
}

void copy(const Call& call) {
    require_parents(call, 1);
    require_size(call, call.parents[0].size());
    copy_changed(call.parents[0], call.changed[0], 0, call.out);
}

void slice(const Call& call) {
    require_parents(call, 1);
    base::ByteReader in(call.arguments);
    const auto offset = in.fixed<std::uint64_t>(), size = in.fixed<std::uint64_t>();
    require(call, !in.failed() && in.at_end(), "arguments that are no offset and size", 16,
            call.arguments.size());
    const auto parent = call.parents[0];
    require(call, offset <= parent.size() && size <= parent.size() - offset,
            "a slice outside its parent", parent.size(), offset + size);
    require_size(call, size);
    copy_changed(parent, call.changed[0], offset, call.out);
}

void concatenate(const Call& call) {
    std::size_t size = 0;
    for (const auto parent : call.parents) size += parent.size();
    require_size(call, size);
    std::size_t at = 0;
    for (std::size_t i = 0; i != call.parents.size(); ++i) {
        const auto parent = call.parents[i];
        copy_changed(parent, call.changed[i], 0, call.out.subspan(at, parent.size()));
        at += parent.size();
    }
}

void checksum(const Call& call) {
    require_parents(call, 1);
    const auto sum = ~base::crc32c(~std::uint32_t{0}, call.parents[0]);
    require_size(call, sizeof sum);
    std::memcpy(call.out.data(), &sum, sizeof sum);
}

template <class T>
T lane_at(std::span<const std::byte> bytes, std::size_t i) {
    T value;
    std::memcpy(&value, bytes.data() + i * sizeof value, sizeof value);
    return value;
}

void threshold(const Call& call) {
    require_parents(call, 1);
    require(call, call.arguments.size() == sizeof(double), "an argument that is no limit",
            sizeof(double), call.arguments.size());
    require(call, call.parents[0].size() >= sizeof(double), "a parent without a double",
            sizeof(double), call.parents[0].size());
    require_size(call, 1);
    const auto limit = lane_at<double>(call.arguments, 0);
    call.out[0] = static_cast<std::byte>(lane_at<double>(call.parents[0], 0) > limit ? 1 : 0);
}

enum class Fold : std::uint8_t { sum, minimum, maximum, count };
enum class Lane : std::uint8_t { i32, i64, f32, f64 };

template <class T, class Step>
void each_lane(Parents parents, const Step& step) {
    for (const auto parent : parents)
        for (std::size_t i = 0; i != parent.size() / sizeof(T); ++i) step(lane_at<T>(parent, i));
}

template <class T>
void put(const Call& call, T value) {
    require_size(call, sizeof value);
    std::memcpy(call.out.data(), &value, sizeof value);
}

template <class T>
void fold_lanes(const Call& call, Fold fold) {
    if (fold == Fold::count) {
        std::uint64_t n = 0;
        each_lane<T>(call.parents, [&](T value) { n += value != T{} ? 1U : 0U; });
        return put(call, n);
    }
    if (fold == Fold::sum) {
        if constexpr (std::is_floating_point_v<T>) {
            double sum = 0;
            each_lane<T>(call.parents, [&](T value) { sum += static_cast<double>(value); });
            // Which NaN comes out of two is left to the compiler and the processor.
            if (std::isnan(sum)) return put(call, std::numeric_limits<T>::quiet_NaN());
            return put(call, static_cast<T>(sum));
        } else {
            std::make_unsigned_t<T> sum = 0;
            each_lane<T>(call.parents,
                         [&](T value) { sum += static_cast<std::make_unsigned_t<T>>(value); });
            return put(call, sum);
        }
    }
    bool any = false;
    T best{};
    each_lane<T>(call.parents, [&](T value) {
        if (!any || (fold == Fold::minimum ? value < best : best < value)) best = value;
        any = true;
    });
    put(call, best);
}

void fold(const Call& call) {
    constexpr auto last_fold = static_cast<unsigned>(Fold::count);
    constexpr auto last_lane = static_cast<unsigned>(Lane::f64);
    require(call, call.arguments.size() == 2, "arguments that are no fold and lane", 2,
            call.arguments.size());
    const auto kind = std::to_integer<unsigned>(call.arguments[0]);
    const auto lane = std::to_integer<unsigned>(call.arguments[1]);
    require(call, kind <= last_fold, "a fold that is not known: at most", last_fold, kind);
    require(call, lane <= last_lane, "a lane that is not known: at most", last_lane, lane);
    const auto which = static_cast<Fold>(kind);
    switch (static_cast<Lane>(lane)) {
        case Lane::i32:
            return fold_lanes<std::int32_t>(call, which);
        case Lane::i64:
            return fold_lanes<std::int64_t>(call, which);
        case Lane::f32:
            return fold_lanes<float>(call, which);
        case Lane::f64:
            return fold_lanes<double>(call, which);
    }
}

}  // namespace

const BuiltIn* built_in(std::string_view name) {
    using Named = std::pair<std::string_view, BuiltIn>;
    static const std::array<Named, 6> all{{
        {"mmsb.copy/1", {copy, Locality::passthrough}},
        {"mmsb.slice/1", {slice, Locality::slice}},
        {"mmsb.concatenate/1", {concatenate, Locality::opaque}},
        {"mmsb.checksum/1", {checksum, Locality::opaque}},
        {"mmsb.threshold/1", {threshold, Locality::opaque}},
        {"mmsb.fold/1", {fold, Locality::opaque}},
    }};
    const auto found = std::ranges::find(all, name, &Named::first);
    return found == all.end() ? nullptr : &found->second;
}

}  // namespace mmsb::graph
