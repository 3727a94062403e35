#include "delta/compare.hpp"
#include "state/mentions.hpp"
#include "state/past.hpp"
#include "state/read.hpp"
#include "state/recompute.hpp"
#include "state/replayer.hpp"

#include <fmt/format.h>
#include <algorithm>

namespace mmsb::state {

namespace {

// Where the live bytes and the replayed ones begin to differ.
std::optional<std::size_t> first_different_byte(std::span<const std::byte> live,
                                                std::span<const std::byte> replayed) {
    const auto size = std::min(live.size(), replayed.size());
    if (!delta::equal(live.data(), replayed.data(), size)) {
        const auto end = live.begin() + static_cast<std::ptrdiff_t>(size);
        return static_cast<std::size_t>(std::mismatch(live.begin(), end, replayed.begin()).first -
                                        live.begin());
    }
    if (live.size() != replayed.size()) return size;
    return std::nullopt;
}

// Each page is read live, then the image is taken to just where that page is: nobody is stopped.
class Verifier {
public:
    Verifier(Attachment& bus, const VerifyOptions& options)
        : bus_(bus),
          options_(options),
          image_(base_image(bus, {}, from_)),
          replayer_(bus, image_, from_, bus.words().applied.load(std::memory_order_acquire)) {}

    VerifyReport run() {
        replayer_.hurry();
        if (!advance(replayer_.to())) return report_;
        bus_.catalog.follow(bus_);
        for (const auto& [id, line] : bus_.catalog.pages())
            if (!check(id, line)) return report_;
        if (!check_missing() || !check_dependencies()) return report_;
        if (options_.recompute_every != 0 && !recompute()) return report_;
        report_.sequence = image_.sequence();
        report_.good = true;
        if (options_.progress) options_.progress(1.0);
        return report_;
    }

private:
    // False: the progress function ended it.
    bool advance(Lsn upto) {
        while (replayer_.at() < upto && replayer_.next()) {
            if (replayer_.record().kind != log::RecordKind::commit) continue;
            constexpr std::uint64_t often = 4096;
            indexes_.see(replayer_);
            ++report_.records;
            if (options_.recompute_every != 0 && report_.records % options_.recompute_every == 0 &&
                !recompute())
                return false;
            if (report_.records % often != 0 || !options_.progress) continue;
            const auto all = static_cast<double>(std::max<Lsn>(replayer_.to() - from_, 1));
            if (!options_.progress(static_cast<double>(replayer_.at() - from_) / all)) return false;
        }
        return true;
    }

    // As of where the image is.
    bool recompute() {
        auto difference = recomputer_.look(image_);
        report_.recomputed = recomputer_.calls();
        report_.not_recomputed = recomputer_.skipped();
        if (!difference) return true;
        report_.function = std::move(difference->function);
        report_.error = std::move(difference->error);
        return differs(difference->page, difference->offset);
    }

    bool differs(PageId page, std::size_t offset) {
        report_.page = page;
        report_.offset = offset;
        report_.sequence = image_.sequence();
        return false;
    }

    bool check(PageId id, std::uint32_t line) {
        for (;;) {
            Wanted live{.page = id, .line = line};
            ReadMany read;
            try {
                read = read_many(bus_, std::span(&live, 1));
            } catch (const PageNotFound&) {
                return true;  // deleted since
            }
            if (!live.found) return true;
            if (live.info.lsn > replayer_.at()) {
                replayer_.extend(bus_.words().logged.load(std::memory_order_acquire));
                if (!advance(live.info.lsn)) return false;
            }
            const auto* replayed = image_.find(id);
            if (replayed == nullptr) return differs(id, 0);
            if (const auto offset = first_different_byte(live.bytes, replayed->bytes))
                return differs(id, *offset);
            if (number(replayed->epoch) != live.info.epoch || replayed->size != live.info.size ||
                number(replayed->sequence) != live.info.sequence ||
                replayed->stale != live.info.stale())
                return differs(id, 0);
            if (same_structure(id, *replayed)) return true;
            if (!has_moved(id, line, live.info.lsn)) return differs(id, 0);
        }
    }

    bool same_structure(PageId id, const replay::ImagePage& replayed) {
        // The page may have been read past `applied`, and then the catalog must know as much.
        bus_.catalog.follow_logged(bus_);
        const auto known = bus_.catalog.page(id);
        return known && known->name == replayed.name && known->metadata == replayed.metadata;
    }

    // The catalog may know more than the page that was compared: then it is compared again.
    bool has_moved(PageId id, std::uint32_t line, Lsn seen) {
        try {
            return read_line(bus_, id, line).lsn != seen;
        } catch (const PageNotFound&) {
            return true;
        }
    }

    // A page of the log that the shared memory does not have, and that was not deleted since.
    bool check_missing() {
        bus_.catalog.follow_logged(bus_);
        std::vector<PageId> missing;
        for (const auto& [id, page] : image_.pages())
            if (!bus_.catalog.page(id)) missing.push_back(id);
        if (missing.empty()) return true;
        replayer_.extend(bus_.words().logged.load(std::memory_order_acquire));
        if (!advance(replayer_.to())) return false;
        for (const auto id : missing)
            if (image_.find(id) != nullptr) return differs(id, 0);
        return true;
    }

    // Edges and formulas, both as of the same structural record: the last one that the catalog
    // knows, which may be logged and not applied, of a writer that is stopped there. The image is
    // no further than that: of what was logged by then, the catalog knows all.
    bool check_dependencies() {
        bus_.catalog.follow_logged(bus_);
        const auto known = bus_.catalog.snapshot();
        replayer_.extend(bus_.words().logged.load(std::memory_order_acquire));
        if (!advance(known.head + 1)) return false;
        if (image_.structure_head() != known.head)
            bus_.arena->contradiction(bus_.words().structure,
                                      fmt::format("{}", image_.structure_head()));
        return known.dependencies == image_.dependencies() || differs(PageId::none, 0);
    }

    Attachment& bus_;
    const VerifyOptions& options_;
    VerifyReport report_{};
    Lsn from_ = 0;
    replay::Image image_;
    Replayer replayer_;
    IndexCheck indexes_{bus_, from_};
    Recomputer recomputer_{bus_};
};

}  // namespace

VerifyReport verify(Attachment& bus, const VerifyOptions& options) {
    if (!bus.logging)
        throw HistoryDropped(ErrorCode::history_dropped, "this bus keeps no log to verify",
                             {.sequence = newest(bus).sequence});
    return Verifier(bus, options).run();
}

}  // namespace mmsb::state
