// State's calls about what is kept: on the disk, in checkpoints, of the past.
#include "api/bus.hpp"
#include "state/copy.hpp"
#include "state/flush.hpp"
#include "state/header.hpp"
#include "state/outside.hpp"
#include "state/past.hpp"
#include "state/retention.hpp"

#include <mmsb/mmsb.hpp>

#include <fmt/format.h>

namespace mmsb {

using detail::Bus;

Sequence State::durable_sequence() const { return state::durable_sequence(Bus::get(bus_).at()); }

bool State::wait_durable(Sequence sequence, Timeout timeout) const {
    const detail::Pin open(bus_);
    auto& bus = open.at();
    if (bus.is_private || open->read_only)
        throw InvalidArgument(
            ErrorCode::invalid_argument,
            "only a bus with a path, open for writing, can be made durable",
            {.expected = "a path", .found = bus.is_private ? "none" : "Open::read_only"});
    const auto now = state::newest(bus);
    if (sequence == Sequence::newest) sequence = now.sequence;
    if (sequence > now.sequence)
        throw InvalidArgument(ErrorCode::invalid_argument,
                              fmt::format("sequence {} is not committed yet", number(sequence)),
                              {.expected = fmt::format("at most {}", number(now.sequence)),
                               .found = fmt::format("{}", number(sequence))});
    const auto is_durable = [&] {
        const auto files = arena::sealed_files_tail(bus.words());
        return files && Sequence{files->durable_sequence} >= sequence;
    };
    std::exception_ptr why;
    // (What was committed behind it goes to the disk with it, and may be what is late.)
    if (is_durable() ||
        state::wait_until_durable(bus, now.lsn, timeout, open->config.lock_timeout, why,
                                  [&] { open.require_open(); }) ||
        is_durable())
        return true;
    if (why) std::rethrow_exception(why);
    return false;
}

Sequence State::checkpoint(const std::string& file) const {
    auto& open = Bus::get(bus_);
    auto& bus = open.at();
    if (file.empty()) {
        if (bus.is_private)
            throw InvalidArgument(ErrorCode::invalid_argument,
                                  "a bus without a path has no folder for a checkpoint",
                                  {.expected = "a file", .found = "none"});
        open.refuse_read_only();
        return state::checkpoint_bus(bus, open.config.lock_timeout).sequence;
    }
    os::ReplacingFile out(state::file_outside(file), open.config.permissions);
    const auto write = [&](std::span<const std::byte> bytes) { out.write(bytes); };
    Sequence as_of = Sequence::zero;
    if (bus.is_private) {
        // Its past is folded while the pages are copied, so the records behind them may be gone.
        const auto image = bus.logging ? state::image_at(bus, Sequence::newest, {})
                                       : state::live_image(bus, open.config.lock_timeout);
        replay::write_checkpoint(image, bus.header.uuid, write);
        as_of = image.sequence();
    } else {
        as_of = state::stream_checkpoint(bus, write).sequence;
    }
    // Before it takes the name of one that may be good: what it was made of, others may write over.
    static_cast<void>(state::read_own_checkpoint(out.file(), {.which = replay::Keep::Which::none}));
    out.commit();
    return as_of;
}

Sequence State::copy_to(const std::string& folder) const {
    const auto& open = Bus::get(bus_);
    state::require_path(folder);
    return state::copy_bus(open.at(), {.folder = folder,
                                       .permissions = open.config.permissions,
                                       .lock_timeout = open.config.lock_timeout});
}

void State::compact(std::optional<Sequence> oldest_kept) const {
    auto& open = Bus::get(bus_);
    open.refuse_writing();
    auto& bus = open.at();
    if (bus.is_private) {
        if (oldest_kept)
            throw InvalidArgument(ErrorCode::invalid_argument,
                                  "a bus without a path folds its past as Config says",
                                  {.expected = "no sequence", .found = "one"});
        return state::fold_past(bus, true);
    }
    state::compact_to(bus, oldest_kept, open.config.lock_timeout);
}

void State::set_retention(const Retention& retention) const {
    auto& open = Bus::get(bus_);
    open.refuse_writing();
    if (open.at().is_private)
        throw InvalidArgument(ErrorCode::invalid_argument,
                              "what a bus without a path keeps is set when it is made",
                              {.expected = "a path", .found = "none"});
    if (retention.age.count() < 0)
        throw InvalidArgument(ErrorCode::invalid_argument, "the age is negative",
                              {.expected = "0 s or more", .found = "less"});
    state::set_retention(open.at(), retention, open.config.lock_timeout);
}

Retention State::retention() const {
    auto& bus = Bus::get(bus_).at();
    if (!bus.is_private) state::refresh_header(bus);
    return state::retention_of(bus);
}

Sequence State::oldest() const { return state::oldest_view(Bus::get(bus_).at()); }

VerifyReport State::verify(const VerifyOptions& options) const {
    return state::verify(Bus::get(bus_).at(), options);
}

const Recovery& State::recovery() const { return Bus::get(bus_).at().recovery; }

const Config& State::config() const { return Bus::get(bus_).config; }

}  // namespace mmsb
