#include "state/carry.hpp"

#include "arena/shared_bytes.hpp"
#include "base/steps.hpp"

#include <fmt/format.h>
#include <algorithm>

namespace mmsb::state {

namespace {

constexpr std::size_t read_at_once = limits::mib;

class Carrier {
public:
    explicit Carrier(Attachment& bus) : bus_(bus) {}

    void run(Lsn from, Lsn to) {
        for (at_ = from; at_ < to;) {
            if (!segment_ || at_ >= segment_end_) find_segment();
            const auto limit = std::min(to, segment_end_);
            std::size_t least = 0, whole = 0;
            // One more round where a record's head is not whole, one where it is longer than
            // that. (What is written over meanwhile could ask for more and more.)
            constexpr int most_rounds = 3;
            for (int round = 0; whole == 0; ++round) {
                if (round == most_rounds) damaged("a whole record");
                read(std::max<std::size_t>(read_at_once, least), limit);
                whole = records(limit, least);
            }
            bus_.segments->write(at_, std::span<const std::byte>(bytes_).first(whole));
            at_ += whole;
        }
    }

private:
    void find_segment() {
        segment_ = bus_.segments->find(at_);
        if (!segment_) damaged("a segment that holds this position");
        segment_end_ = bus_.segments->end_of(*segment_);
    }

    [[noreturn]] void damaged(const char* expected) const {
        const bool ring = !segment_ || at_ >= ring_begins();
        const auto& file = ring ? bus_.arena->file().path() : segment_->file.path();
        const auto offset = ring ? arena::ring_at + (at_ & (bus_.arena->ring_size() - 1))
                                 : log::segment_header_size + at_ - segment_->header.start;
        throw Corrupt(ErrorCode::corrupt,
                      fmt::format("{} at {}: expected {} at position {} of the log", file, offset,
                                  expected, at_),
                      {.path = file,
                       .expected = expected,
                       .found = "other bytes",
                       .offset = offset,
                       .sequence = Sequence{bus_.words().durable_sequence.load()}});
    }

    // What lies before it may be written over already, by writers who go on meanwhile.
    [[nodiscard]] Lsn ring_begins() const noexcept {
        const auto ring = bus_.arena->ring_size();
        const auto reserve = bus_.words().reserve.load(std::memory_order_acquire);
        return reserve > ring ? reserve - ring : 0;
    }

    // `size` bytes from at_ on, or up to `limit`.
    void read(std::size_t size, Lsn limit) {
        bytes_.resize(static_cast<std::size_t>(
            std::min<std::uint64_t>({size, limit - at_, bus_.arena->ring_size()})));
        for (std::size_t done = 0; done < bytes_.size();)
            done += read_some(at_ + done, std::span(bytes_).subspan(done));
    }

    // From the ring where it still has them, else from the files.
    std::size_t read_some(Lsn at, std::span<std::byte> out) {
        if (at >= ring_begins()) {
            MMSB_STEP("flush.mending");
            arena::copy_from_shared(out.data(), bus_.arena->ring(at), out.size());
            arena::read_fence();
            if (at >= ring_begins()) return out.size();
        }
        const auto size = std::min<std::uint64_t>(out.size(), ring_begins() - at);
        const auto got = bus_.segments->read(at, out.first(static_cast<std::size_t>(size)));
        if (got == 0)
            throw Corrupt(ErrorCode::corrupt, "bytes that were written cannot be read back",
                          {.path = segment_->file.path()});
        return got;
    }

    // The bytes of whole records at the start of bytes_; 0: `least` bytes are needed for one.
    std::size_t records(Lsn limit, std::size_t& least) const {
        std::size_t whole = 0;
        while (whole < bytes_.size()) {
            const auto start = at_ + whole;
            if (segment_end_ - start <= 8) {  // no record begins there
                const auto last = std::span(bytes_).subspan(whole);
                if (std::ranges::any_of(last, [](std::byte b) { return b != std::byte{0}; }))
                    damaged("zeros at a segment's end");
                return bytes_.size();
            }
            const auto rest = std::span(bytes_).subspan(whole);
            if (rest.size() < log::head_size && rest.size() < limit - start) {
                least = log::head_size;
                return whole;
            }
            const auto parsed = log::check_record(rest, start, segment_->context());
            if (parsed.status == log::ParseStatus::partial && parsed.size <= limit - start) {
                least = parsed.size;
                return whole;
            }
            if (parsed.status != log::ParseStatus::good)
                damaged(parsed.status == log::ParseStatus::bad ? parsed.expected
                                                               : "a whole record");
            whole += parsed.size;
        }
        return whole;
    }

    Attachment& bus_;
    Lsn at_ = 0;
    std::shared_ptr<const log::Segment> segment_{};
    Lsn segment_end_ = 0;
    std::vector<std::byte> bytes_{};
};

}  // namespace

void carry(Attachment& bus, Lsn from, Lsn to) {
    // A private bus has no neighbours. (What is behind `flushed` is in the ring.)
    const bool plain =
        bus.is_private && from >= bus.words().flushed.load(std::memory_order_relaxed);
    while (plain && from < to) {
        const auto size = std::min<std::uint64_t>(to - from, read_at_once);
        const auto* const bytes = bus.arena->ring(from);
        bus.segments->write(from, std::span(bytes, static_cast<std::size_t>(size)));
        from += size;
    }
    Carrier(bus).run(from, to);
}

}  // namespace mmsb::state
