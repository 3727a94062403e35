/// api/stream: what a lazy sequence over the log is made of, and what it says of a record.
#pragma once

#include "api/bus.hpp"

namespace mmsb::detail {

[[nodiscard]] inline Time time_of(const log::Record& record) {
    return Time(std::chrono::nanoseconds(record.time_ns));
}
/// What the record did to a page; `source`: the name of who committed it.
[[nodiscard]] inline Change change_of(const log::Record& record, const log::PageEntry& entry,
                                      std::string source) {
    return {.sequence = record.sequence,
            .epoch = entry.epoch,
            .time = time_of(record),
            .source = std::move(source),
            .label = std::string(record.label),
            .tag = record.tag,
            .process = record.process,
            .changed_bytes = entry.changed_bytes};
}

template <class T>
struct Stream<T>::Impl {
    std::function<bool(T&)> next{};  ///< Of what is known to be committed.
    /// Until there may be more. False: timeout, or none can come. Empty: none can come.
    std::function<bool(const Pin&, const state::Deadline&)> wait{};
    Handle bus{};                          ///< Where `wait` is given.
    std::function<bool(const T&)> last{};  ///< None can come behind this one; may be empty.
    bool ended = false;
};

template <class T>
bool Stream<T>::advance(std::optional<Timeout> wait) {
    if (!impl_) throw_moved_from("stream");
    auto& stream = *impl_;
    std::optional<Pin> bus;  // who waits is woken by stop(), and nothing is taken from under him
    std::optional<state::Deadline> end;
    if (wait && stream.wait) bus.emplace(stream.bus);
    while (!stream.ended) {
        if (stream.next(current_)) {
            stream.ended = stream.last && stream.last(current_);
            return true;
        }
        if (!bus) return false;
        if (!end)
            end.emplace(*wait);
        else if (end->passed())
            return false;
        if (!stream.wait(*bus, *end)) return false;
    }
    return false;
}

}  // namespace mmsb::detail
